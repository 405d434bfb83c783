import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { project } from '../support/build'
import { describeSnippets } from '../support/document'
import { rowsUnder } from '../support/markdown-table'
import { client, expectPrintedLines, listening, patience } from '../support/reader'
import { plainBroker, tlsBroker } from './shared-checks'

describeSnippets('README.md', {
  'Try it 1': { serves: expectPrintedLines, ends: 0 },
  'plain-broker.mjs': plainBroker,
  'tls-broker.mjs': tlsBroker('MyCARoot.pem'),
  'application.mjs': {
    async serves(workshop, snippet) {
      const port = await listening(workshop, 1883)
      await expect(client(port, { username: 'ada', password: 'wrong' })).rejects.toThrow(/Bad username or password/)
      const ada = await client(port, { username: 'ada', password: 'secret', protocolVersion: 5 })
      const received: string[] = []
      ada.on('message', (topic, payload) => received.push(`${topic} ${payload}`))
      await ada.subscribeAsync('ada/#', { qos: 1 })
      await vi.waitFor(() => expect(received).toContain('ada/welcome hello'), patience)
      await ada.publishAsync('ada/temperature', '21', { qos: 1 })
      await vi.waitFor(() => expect(snippet.output).toBe('ada/temperature 21\n'), patience)
      await expect(ada.publishAsync('bob/temperature', '', { qos: 1 })).rejects.toThrow(/Not authorized/)
      await expect(ada.subscribeAsync('#')).rejects.toThrow(/Not authorized/)
    },
    ends: 0,
  },
})

describe('README.md', () => {
  it('is short', () => {
    expect(statSync(join(project, 'README.md')).size).toBeLessThanOrEqual(12_000)
  })

  it('has figures of docs/benchmarks.md', () => {
    const figures = readFileSync(join(project, 'docs/benchmarks.md'), 'utf8')
      .split('\n')
      .filter((line) => line.includes('µs CPU a delivered message'))
      .map((line) => line.split('|').map((cell) => cell.trim()))
    const ratioOf = (cell: string): number => Number(/\*\*([\d.]+)\*\*/.exec(cell)?.[1])
    const rows = rowsUnder(readFileSync(join(project, 'README.md'), 'utf8'), 'How fast it is')
    expect(rows).toHaveLength(6)
    for (const [scenario, own, aedes, mosquitto] of rows) {
      const measured = figures.find(([, , title]) => normal(title!) === normal(scenario!))!
      expect(measured, scenario).toBeDefined()
      for (const [index, cell] of [own, aedes, mosquitto].entries())
        expect(Number(cell!.split(' ')[0])).toBeCloseTo(Number(measured[4 + index]!.split(' ')[0]), 2)
      const ratios = measured.filter((cell) => cell.startsWith('**')).map(ratioOf)
      for (const [index, cell] of [aedes, mosquitto].entries()) {
        const ratio = Number(/\(([\d.]+)\)/.exec(cell!)?.[1])
        expect(Math.abs(ratio / ratios[index]! - 1)).toBeLessThan(0.04)
      }
    }
  })
})

/** The report calls the TLS scenarios by the plain ones. */
const normal = (title: string): string => title.replace('d1, TLS 1.3', '50 pairs, QoS 1, TLS 1.3')
