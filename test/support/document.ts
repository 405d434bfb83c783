import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { project } from './build'
import { promisedOutput, type Snippet, snippetsOf } from './snippet'
import { type Running, Workshop } from './workshop'

/** What a snippet needs beforehand, and what shows that it does what the text says. */
export interface Check {
  /** Makes the files that the text takes for granted. */
  before?: (workshop: Workshop) => Promise<void>
  /** The snippet serves until it is stopped; this shows that it does. */
  serves?: (workshop: Workshop, snippet: Running) => Promise<void>
  /** The snippet has ended; this looks at what it has left. */
  after?: (workshop: Workshop) => Promise<void>
  /** How a snippet that serves ends when it gets SIGTERM. */
  ends?: number
  /** For a block that is no program: shows that it is right. */
  shows?: (workshop: Workshop, snippet: Snippet) => Promise<void>
}

/** By the name of the snippet. A snippet without a check has to end by itself, without an error. */
export type Checks = Readonly<Record<string, Check>>

/** Runs the snippets of a document in their order, in a folder of its own, as a reader would. */
export function describeSnippets(document: string, checks: Checks): void {
  describe(document, () => {
    const snippets = snippetsOf(join(project, document))
    let workshop: Workshop

    beforeAll(async () => {
      workshop = await Workshop.open()
    }, 120_000)

    afterAll(() => workshop?.close())

    it('has one snippet for each check, and names each once', () => {
      const names = snippets.map(({ name }) => name)
      expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([])
      expect(Object.keys(checks).filter((name) => !names.includes(name))).toEqual([])
    })

    it.each(snippets.map((snippet) => [snippet.name, snippet] as const))(
      'runs %s',
      (name, snippet) => expectToRun(snippet, checks[name] ?? {}, workshop),
      60_000,
    )
  })
}

const makesBroker = /new MqttBroker\(|MqttBroker\.start\(|^npx gnatmq *(-|$)|npm start/m

/** Runs to its end, or starts and stays: as its check says. */
async function expectToRun(snippet: Snippet, check: Check, workshop: Workshop): Promise<void> {
  const { before, serves, after, ends, shows } = check
  // one broker after the other: the next one wants the same port
  if (makesBroker.test(snippet.code)) await workshop.stop()
  await before?.(workshop)
  if (shows !== undefined) return shows(workshop, snippet)
  const running = await workshop.start(snippet)
  if (serves === undefined) expect(await running.ended, running.errors).toBe(0)
  else await serving(running, serves(workshop, running))
  expect(withoutOpenness(running.errors)).toBe('')
  for (const line of promisedOutput(snippet)) expect(running.output.split('\n')).toContain(line)
  await after?.(workshop)
  if (ends !== undefined) expect(await workshop.stop()).toEqual([ends])
}

/** What was printed besides the warning of a TLS broker that every client may connect to. */
function withoutOpenness(errors: string): string {
  const lines = errors.split('\n')
  const others = lines.filter((line) => !/every client that reaches .* may connect|node --trace-warnings/.test(line))
  return others.length === lines.length ? errors : others.join('\n')
}

/** A server that ends while it is looked at has failed, and says why. */
async function serving(running: Running, check: Promise<void>): Promise<void> {
  const ended = running.ended.then((end) => {
    throw new Error(`it ended with ${end}: ${running.errors}`)
  })
  ended.catch(() => undefined)
  await Promise.race([check, ended])
}
