// Writes docs/conformance.md: each numbered statement of the specifications beside the tests that bear its number.
//
//   npx vitest run test/spec --reporter=json --outputFile=.tmp/spec-results.json
//   node docs/conformance.mjs [--check] [results.json]
//
// Ends with 1 for a statement without a passing test or an excuse, a failing or skipped test, and a test that names no
// statement or one that does not exist. With --check, also for a conformance.md that is not what it would write.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const page = join(root, 'docs', 'conformance.md')
const versions = ['3.1.1', '5.0']
const binders = ['server', 'client', 'both']
/** The number of a statement at the head of a test's name, or `extra` for a test of none. */
const label = /^\[(MQTT-\d+\.\d+\.\d+-\d+|extra)\]\s*/

const args = process.argv.slice(2)
const check = args.includes('--check')
const resultFile = args.find((arg) => !arg.startsWith('--')) ?? join(root, '.tmp', 'spec-results.json')
const problems = []

/** The statements of a version, by their number, each with an empty list of tests. */
function readStatements(version) {
  const file = `test/spec/statements-${version}.json`
  const statements = new Map()
  for (const { id, binds, paraphrase, excuse } of JSON.parse(readFileSync(join(root, file), 'utf8'))) {
    if (statements.has(id)) problems.push(`${file}: ${id} is there twice`)
    if (!binders.includes(binds)) problems.push(`${file}: ${id} binds ${binds}, not one of ${binders.join(', ')}`)
    if (!paraphrase || excuse === '') problems.push(`${file}: ${id} has an empty paraphrase or excuse`)
    statements.set(id, { id, binds, paraphrase, excuse, tests: [] })
  }
  return statements
}

/** The numbers at the head of a test's name: none, one or several. */
function idsOf(title) {
  const ids = []
  for (let rest = title, match = label.exec(rest); match !== null; match = label.exec(rest)) {
    ids.push(match[1])
    rest = rest.slice(match[0].length)
  }
  return ids
}

/** Puts each test of a version's folder beside the statements that it names. */
function placeTests(version, statements, testFiles) {
  const folder = `test/spec/mqtt-${version}/`
  for (const { name, status, assertionResults } of testFiles) {
    const path = name.replaceAll('\\', '/')
    const at = path.lastIndexOf(folder)
    if (at < 0) continue
    const file = path.slice(at)
    if (assertionResults.length === 0) problems.push(`${file}: no test ran (${status})`)
    for (const test of assertionResults) {
      const ids = idsOf(test.title)
      if (ids.length === 0) problems.push(`${file}: "${test.title}" names no statement`)
      if (test.status !== 'passed') problems.push(`${file}: "${test.title}" ${test.status}`)
      for (const id of ids) {
        if (id === 'extra') continue
        const statement = statements.get(id)
        if (statement === undefined) problems.push(`${file}: "${test.title}" names ${id}, which does not exist`)
        else statement.tests.push({ file, passed: test.status === 'passed' })
      }
    }
  }
}

function resultOf({ tests, excuse }) {
  if (tests.some(({ passed }) => !passed)) return 'failed'
  if (tests.length > 0) return 'passed'
  return excuse === undefined ? 'missing' : 'excused'
}

/** The files that test a statement, each with the number of its tests. */
function testCell(tests) {
  const counts = new Map()
  for (const { file } of tests) counts.set(file, (counts.get(file) ?? 0) + 1)
  return [...counts]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([file, count]) => `[${basename(file, '.test.ts')}](../${file}) (${count})`)
    .join(', ')
}

const cell = (text) => text.replaceAll('|', '\\|')

function table(statements) {
  const lines = ['| statement | binds | in our words | tests | result |', '| --- | --- | --- | --- | --- |']
  for (const statement of statements) {
    const { id, binds, paraphrase, excuse, tests } = statement
    const result = resultOf(statement)
    const shown = result === 'excused' ? `excused: ${excuse}` : result
    lines.push(`| ${id} | ${binds} | ${cell(paraphrase)} | ${testCell(tests)} | ${cell(shown)} |`)
  }
  return lines.join('\n')
}

/** One row of the totals. */
function total(version, statements) {
  const count = (test) => statements.filter(test).length
  const bind = count(({ binds }) => binds !== 'client')
  const [passed, excused, failed, missing] = ['passed', 'excused', 'failed', 'missing'].map((result) =>
    count((statement) => resultOf(statement) === result),
  )
  return `| MQTT ${version} | ${statements.length} | ${bind} | ${passed} | ${excused} | ${failed + missing} |`
}

function render(tables) {
  const totals = tables.map(({ version, statements }) => total(version, statements))
  const sections = tables.map(({ version, statements }) => `## MQTT ${version}\n\n${table(statements)}\n`)
  return `# Conformance

Every numbered statement of the two MQTT specifications, in our own words, and the tests that bear its number. The tests
speak to the broker over TCP, packet by packet. A statement that binds only clients, or that cannot be observed from
outside, says so. Written by \`node docs/conformance.mjs\` from the results of \`test/spec\`; do not edit.

| | statements | bind a server | tested, and pass | excused | failing or without a test |
| --- | --- | --- | --- | --- | --- |
${totals.join('\n')}

The specifications: [MQTT 3.1.1](https://docs.oasis-open.org/mqtt/mqtt/v3.1.1/os/mqtt-v3.1.1-os.html),
[MQTT 5.0](https://docs.oasis-open.org/mqtt/mqtt/v5.0/os/mqtt-v5.0-os.html).

${sections.join('\n')}`
}

if (!existsSync(resultFile)) {
  console.error(`there is no ${resultFile}: run npx vitest run test/spec --reporter=json --outputFile=${resultFile}`)
  process.exit(1)
}
const { testResults } = JSON.parse(readFileSync(resultFile, 'utf8'))
const tables = versions.map((version) => {
  const statements = readStatements(version)
  placeTests(version, statements, testResults)
  return { version, statements: [...statements.values()] }
})
for (const { version, statements } of tables) {
  for (const statement of statements) {
    if (resultOf(statement) === 'missing')
      problems.push(`MQTT ${version}: ${statement.id} has neither a test nor an excuse: ${statement.paraphrase}`)
  }
}

const text = render(tables)
if (check) {
  if (!existsSync(page) || readFileSync(page, 'utf8') !== text) problems.push('docs/conformance.md is not up to date: run node docs/conformance.mjs')
} else writeFileSync(page, text)

for (const problem of problems) console.error(problem)
console.log(problems.length === 0 ? 'every statement is tested or excused' : `${problems.length} problems`)
process.exitCode = problems.length === 0 ? 0 : 1
