import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { errorTable, MqttError, type MqttErrorCode } from '../src/protocol/mqtt-error'
import { ReasonCode } from '../src/protocol/reason-code'
import { rowsUnder } from './support/markdown-table'
import { readSource } from './support/source-tree'

const documented = rowsUnder(readFileSync(new URL('../docs/reference/errors.md', import.meta.url), 'utf8'), 'Errors')

const rows = Object.entries<{ meaning: string; reasonCode?: number }>(errorTable)

describe('docs/reference/errors.md', () => {
  it('is the table of errors', () => {
    const expected = rows.map(([code, { meaning, reasonCode }]) => [
      `\`${code}\``,
      reasonCode === undefined ? '' : `0x${reasonCode.toString(16).toUpperCase().padStart(2, '0')}`,
      meaning,
    ])
    expect(documented).toEqual(expected)
  })
})

describe('the table of errors', () => {
  it.each(rows.filter(([, { reasonCode }]) => reasonCode !== undefined))(
    'gives %s a Reason Code of MQTT 5.0',
    (_code, { reasonCode }) => {
      expect(Object.values(ReasonCode)).toContain(reasonCode)
      expect(reasonCode).toBeGreaterThanOrEqual(0x80)
    },
  )

  it('has no code that nothing makes', () => {
    const source = readSource(fileURLToPath(new URL('../src', import.meta.url)))
    const text = source
      .filter(({ path }) => path !== 'protocol/mqtt-error.ts')
      .map(({ syntax }) => syntax.text)
      .join('\n')
    const shorthand: Partial<Record<MqttErrorCode, string>> = {
      GNATMQ_MALFORMED_PACKET: 'malformed(',
      GNATMQ_PROTOCOL_ERROR: 'protocolError(',
    }
    const unused = rows
      .map(([code]) => code as MqttErrorCode)
      .filter((code) => !text.includes(shorthand[code] ?? `'${code}'`))
    expect(unused).toEqual([])
  })

  it('is where an error takes its Reason Code from, unless it brings its own', () => {
    expect(new MqttError('GNATMQ_SERVER_BUSY', 'full').reasonCode).toBe(0x89)
    expect(new MqttError('GNATMQ_SERVER_BUSY', 'full', { reasonCode: 0x97 }).reasonCode).toBe(0x97)
    expect(new MqttError('GNATMQ_PORT_IN_USE', 'taken').reasonCode).toBeUndefined()
  })
})
