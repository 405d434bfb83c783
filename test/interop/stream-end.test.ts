import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect } from 'mqtt'
import { describe, expect, it, vi } from 'vitest'
import { authorityFile, startReachable } from '../support/transports'
import { missingCommand } from './foreign-clients'

/** Clients that publish and leave at once, while a hook still thinks about what they sent. */

const later = (): Promise<boolean> => new Promise((resolve) => setTimeout(resolve, 20, true))
const ten = Array.from({ length: 10 }, (_, i) => `${i}`)

async function started(transport: 'TLS' | 'WebSocket' | 'WebSocket over TLS') {
  const reached = await startReachable(transport, { authorizePublish: later, allowAnonymous: true })
  const history: string[] = []
  await reached.broker.subscribe('#', ({ payload }) => void history.push(payload.toString()))
  reached.broker.on('clientDisconnected', (_client, { byClient }) => history.push(byClient ? 'left' : 'was lost'))
  return { ...reached, history }
}

describe('mosquitto_pub over TLS', () => {
  const missing = missingCommand('mosquitto_pub', '--help')
  it.skipIf(missing !== undefined).each(['mqttv311', 'mqttv5'])(
    'loses nothing that it has sent, in %s',
    async (version) => {
      const { port, history } = await started('TLS')
      const will = ['--will-topic', 'will', '--will-payload', 'the Will']
      const target = ['-V', version, '-h', 'localhost', '-p', `${port}`, '--cafile', authorityFile()]
      const client = spawn('mosquitto_pub', [...target, ...will, '-t', 't', '-l'], {
        stdio: ['pipe', 'ignore', 'inherit'],
      })
      client.stdin.end(`${ten.join('\n')}\n`)
      expect(await once(client, 'close')).toEqual([0, null])
      await vi.waitFor(() => expect(history.at(-1)).toMatch(/^(left|was lost)$/))
      expect(history).toEqual([...ten, 'left'])
    },
  )
})

describe.each([
  ['TLS', 'mqtts'],
  ['WebSocket', 'ws'],
  ['WebSocket over TLS', 'wss'],
] as const)('MQTT.js over %s', (transport, protocol) => {
  it.each([4, 5] as const)('loses nothing that it has sent, in MQTT %i', async (protocolVersion) => {
    const { port, history } = await started(transport)
    const client = connect(`${protocol}://localhost:${port}${protocol === 'mqtts' ? '' : '/mqtt'}`, {
      protocolVersion,
      ca: readFileSync(authorityFile()),
      ...(protocol === 'mqtts' ? {} : { wsOptions: { ca: readFileSync(authorityFile()) } }),
      reconnectPeriod: 0,
      will: { topic: 'will', payload: Buffer.from('the Will'), qos: 0, retain: false },
    })
    client.on('error', () => undefined)
    await new Promise<void>((resolve) => client.once('connect', () => resolve()))
    for (const payload of ten) client.publish('t', payload)
    client.end()
    await vi.waitFor(() => expect(history.at(-1)).toMatch(/^(left|was lost)$/), { timeout: 5000 })
    expect(history).toEqual([...ten, 'left'])
  })
})
