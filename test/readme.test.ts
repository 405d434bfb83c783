import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { checkOptions, settingsOf } from '../src/options'
import { MqttError } from '../src/protocol/mqtt-error'
import { project } from './support/build'
import { rowsUnder } from './support/markdown-table'
import { checks } from './support/readme-checks'
import { promisedOutput, type Snippet, snippetsOf } from './support/snippet'
import { type Running, Workshop } from './support/workshop'

const path = join(project, 'README.md')
const text = readFileSync(path, 'utf8')
const snippets = snippetsOf(path)
const sections = [...new Set(snippets.map(({ section }) => section))]

/** Runs to its end, or starts and stays: as its check says. */
async function expectToRun(snippet: Snippet, workshop: Workshop): Promise<void> {
  const { before, serves, after } = checks[snippet.name] ?? {}
  // one server after the other: the next one wants the same port
  if (serves !== undefined) await workshop.stop()
  await before?.(workshop)
  const running = await workshop.start(snippet)
  if (serves === undefined) expect(await running.ended, running.errors).toBe(0)
  else await serving(running, serves(workshop, running))
  expect(running.errors).toBe('')
  for (const line of promisedOutput(snippet)) expect(running.output.split('\n')).toContain(line)
  await after?.(workshop)
  if (checks[snippet.name]?.ends !== undefined) expect(await workshop.stop()).toEqual([checks[snippet.name]!.ends])
}

/** A server that ends while it is looked at has failed, and says why. */
async function serving(running: Running, check: Promise<void>): Promise<void> {
  const ended = running.ended.then((end) => {
    throw new Error(`it ended with ${end}: ${running.errors}`)
  })
  ended.catch(() => undefined)
  await Promise.race([check, ended])
}

describe.each(sections)('README, %s', (section) => {
  let workshop: Workshop

  beforeAll(async () => {
    workshop = await Workshop.open()
  }, 120_000)

  afterAll(() => workshop?.close())

  it.each(snippets.filter((snippet) => snippet.section === section).map((snippet) => [snippet.name, snippet] as const))(
    'runs %s',
    (_name, snippet) => expectToRun(snippet, workshop),
    60_000,
  )
})

describe('README', () => {
  it('has snippets, and every check has one', () => {
    const names = snippets.map(({ name }) => name)
    expect(names.length).toBeGreaterThan(20)
    expect(new Set(names).size).toBe(names.length)
    expect(Object.keys(checks).filter((name) => !names.includes(name))).toEqual([])
  })

  it('links to headings and files that there are', () => {
    const anchors = [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
      heading!
        .toLowerCase()
        .replace(/[^\w -]/g, '')
        .replaceAll(' ', '-'),
    )
    const links = [...text.matchAll(/\]\((?!https?:)([^)]+)\)/g)].map(([, link]) => link!)
    const missing = links.filter((link) =>
      link.startsWith('#') ? !anchors.includes(link.slice(1)) : !existsSync(join(project, link)),
    )
    expect(missing).toEqual([])
  })
})

describe('ARCHITECTURE.md', () => {
  const architecture = readFileSync(join(project, 'ARCHITECTURE.md'), 'utf8')

  it('names files and rooms that there are', () => {
    const paths = [...architecture.matchAll(/`((?:src|test)(?:\/[\w.-]+)*)`/g)].map(([, named]) => named!)
    expect(paths.length).toBeGreaterThan(30)
    expect(paths.filter((named) => !existsSync(join(project, named)))).toEqual([])
  })

  it.each(rowsUnder(architecture, 'The way of a PUBLISH'))(
    'knows where this happens: %s',
    (_step, files, functions) => {
      const source = wordsIn(files!)
        .map((file) => readFileSync(join(project, file), 'utf8'))
        .join('\n')
      for (const name of wordsIn(functions!)) expect(source).toMatch(new RegExp(`\\b${name}\\(|class ${name}\\b`))
    },
  )
})

const wordsIn = (cell: string): string[] => [...cell.matchAll(/`([^`]+)`/g)].map(([, word]) => word!)

/** The names that an error message about an unknown one gives. */
function namesIn(options: object): string[] {
  try {
    checkOptions(options)
  } catch (error) {
    if (error instanceof MqttError) return error.message.replace(/^.*the options are /, '').split(', ')
  }
  throw new Error('the unknown name was taken')
}

const cells = (heading: string): string[][] =>
  rowsUnder(text, heading).map((row) => row.map((cell) => cell.replaceAll('`', '')))
const number = (cell: string): number => (cell === '∞' ? Number.POSITIVE_INFINITY : Number(cell.replaceAll(',', '')))
const defaults = settingsOf({}, {})

describe('the table of options', () => {
  const rows = cells('Options')

  it('names every option and no other', () => {
    expect(rows.map(([name]) => name).sort()).toEqual(namesIn({ nothing: 1 }).sort())
  })

  it.each(rows.filter(([, , standard]) => /^(true|false|[\d,]+|[a-z]+-[a-z]+)$/.test(standard!)))(
    'has the default of %s',
    (name, type, standard) => {
      const flat: Record<string, unknown> = {
        ...defaults,
        ...defaults.session,
        queueOverflow: defaults.session.overflow,
      }
      const value = flat[name!] ?? flat[`${name}Ms`]
      if (name === 'allowAnonymous') expect(standard).toBe('false')
      else
        expect(typeof value === 'number' ? number(standard!) : standard).toBe(
          typeof value === 'number' ? value : String(value),
        )
      if (type === 'milliseconds') expect(flat[`${name}Ms`]).toBeTypeOf('number')
    },
  )

  it.each(rows.filter(([, type]) => /^[a-z]+(-[\w]+)*, [a-z]/.test(type!)))(
    'has the words that %s takes',
    (name, type) => {
      for (const word of type!.split(', ')) expect(() => checkOptions({ [name!]: word })).not.toThrow()
      expect(() => checkOptions({ [name!]: 'nothing' } as object)).toThrow(type!)
    },
  )
})

describe('the table of events', () => {
  it('names every event and no other', () => {
    const source = readFileSync(join(project, 'src/ports/events.ts'), 'utf8')
    const declared = source.slice(source.indexOf('interface BrokerEvents {')).matchAll(/^ {2}(\w+): \[/gm)
    expect(
      cells('Events')
        .map(([name]) => name)
        .sort(),
    ).toEqual([...declared].map(([, name]) => name).sort())
  })
})

describe('the table of limits', () => {
  const rows = cells('Limits')

  it('names every limit and no other', () => {
    expect(rows.map(([name]) => name).sort()).toEqual(namesIn({ limits: { nothing: 1 } }).sort())
  })

  it.each(rows)('has range and default of %s', (name, _unit, range, standard) => {
    const [minimum, maximum] = range!.split(' to ').map(number) as [number, number]
    const take = (value: number) => () => checkOptions({ limits: { [name!]: value } })
    expect(take(minimum)).not.toThrow()
    expect(take(maximum)).not.toThrow()
    expect(take(minimum - 1)).toThrow(MqttError)
    if (maximum !== Number.POSITIVE_INFINITY) expect(take(maximum + 1)).toThrow(MqttError)
    const { maximumMessages, maximumBytes } = defaults.session.budget
    const budget = { maximumTotalQueuedMessages: maximumMessages, maximumTotalQueuedBytes: maximumBytes }
    const flat: Record<string, unknown> = { ...defaults, ...defaults.session, ...defaults.outbox, ...budget }
    expect(flat[name!]).toBe(number(standard!))
  })
})
