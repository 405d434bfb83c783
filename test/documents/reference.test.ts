import { connect as connectTcp } from 'node:net'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { describeSnippets } from '../support/document'
import { textOf } from '../support/markdown-file'
import { rowsUnder } from '../support/markdown-table'
import { client, expectPrintedLines, expectRoundTrip, listening, patience } from '../support/reader'
import type { Snippet } from '../support/snippet'
import { Workshop } from '../support/workshop'
import { scramBroker, withRedis } from './shared-checks'

const page = (name: string): string => `docs/reference/${name}.md`

for (const name of ['options', 'objects', 'listeners', 'errors', 'metrics', 'testing']) describeSnippets(page(name), {})

describeSnippets(page('stores'), { 'redis-store.mjs': withRedis })

describeSnippets(page('hooks'), { 'scram.mjs': scramBroker })

describeSnippets(page('events'), {
  'events.mjs': {
    async serves(workshop, snippet) {
      const port = await listening(workshop, 1883)
      const one = await client(port, { clientId: 'one' })
      await expectRoundTrip(one)
      await one.endAsync()
      const plain = connectTcp(port, '127.0.0.1')
      onTestFinished(() => void plain.destroy())
      // PINGREQ where CONNECT belongs
      plain.write(Buffer.from('c000', 'hex'))
      await vi.waitFor(() => {
        expect(snippet.output).toMatch(/^connected one \S+$/m)
        expect(snippet.output).toMatch(/^subscribed one lamp\/1 1$/m)
        expect(snippet.output).toMatch(/^published lamp\/1 one$/m)
        expect(snippet.output).toMatch(/^disconnected one 0$/m)
        expect(snippet.output).toMatch(/^GNATMQ_\w+ .+ \S+$/m)
      }, patience)
    },
  },
})

/** The block is what the command prints with `--help`. */
const shows = async (workshop: Workshop, { code, section }: Snippet): Promise<void> => {
  const help = workshop.gnatmq(...section.split(' ').slice(1), '--help')
  expect(await help.ended, help.errors).toBe(0)
  expect(code).toBe(help.output)
}

describeSnippets(page('command-line'), {
  'gnatmq 1': { shows },
  'gnatmq 2': { serves: expectPrintedLines, ends: 0 },
  'gnatmq cert ca 1': { shows },
  'gnatmq cert server 1': { shows },
  'gnatmq cert client 1': { shows },
  'gnatmq passwd 1': { shows },
})

describe('the table of exit codes', () => {
  it('is what the command ends with', async () => {
    const workshop = await Workshop.open()
    onTestFinished(() => workshop.close())
    const ends = [['--version'], ['--pfx', 'missing.pfx'], ['--prot', '1883']].map(
      (args) => workshop.gnatmq(...args).ended,
    )
    const documented = rowsUnder(textOf(page('command-line')), 'Command line').map(([code]) => Number(code))
    expect(await Promise.all(ends)).toEqual(documented)
  })
})
