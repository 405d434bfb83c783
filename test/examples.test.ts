import { readdir } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ClientProcess } from './interop/client-process'
import { type Example, ExampleRunner } from './interop/example'
import { skipped, type Target } from './interop/foreign-clients'
import { mosquitto } from './interop/mosquitto'
import { connected, mqttJsClient, nextMessage } from './interop/mqtt-js'
import { project } from './support/build'

const tested = [
  'authentication-and-authorization.js',
  'http-service.js',
  'mutual-tls.js',
  'plain-tcp.js',
  'sni-two-names.js',
  'walk-through.js',
]
let runner: ExampleRunner

beforeAll(async () => {
  runner = await ExampleRunner.open(`${project}/examples`)
}, 120_000)
afterAll(() => runner?.close())

const target = (example: Example, caFile?: string): Target => ({
  version: 5,
  host: 'localhost',
  port: example.port,
  caFile,
})

it('every example has a test', async () => {
  const files = await readdir(`${project}/examples`)
  expect(files.filter((file) => file.endsWith('.js')).sort()).toEqual(tested)
})

// generous, because a key of RSA 4096 takes its time
describe.each(['SIGTERM', 'SIGINT'] as const)('the examples, until %s', { timeout: 60_000 }, (signal) => {
  /** Runs an example, and expects it to stop when it is told to, with clients connected. */
  async function during(name: string, run: (example: Example) => Promise<void>): Promise<void> {
    const example = await runner.start(name)
    await run(example)
    const end = await example.stop(signal)
    expect(end).toEqual({ code: 0, errors: '' })
  }

  it('plain-tcp.js', () =>
    during('plain-tcp.js', async (example) => {
      const client = await connected(target(example))
      const retained = nextMessage(client)
      await client.subscribeAsync('lamp/#', { qos: 1 })
      expect(await retained).toEqual(['lamp/1', 'off'])
      await client.publishAsync('lamp/1', 'on', { qos: 1 })
      await example.said('lamp/1: on')
    }))

  it.skipIf(skipped('mosquitto_pub with the examples', mosquitto.missing))(
    'and mosquitto_pub, as they say',
    async () => {
      const published = {
        'plain-tcp.js': 'lamp/1: on',
        'walk-through.js': 'by TLSv1.2',
        'mutual-tls.js': 'devices/device-1/temperature: 21',
      }
      for (const [name, effect] of Object.entries(published))
        await during(name, async (example) => {
          const [command = ''] = /mosquitto_pub .*/.exec(example.output) ?? []
          await new ClientProcess('sh', ['-c', command]).succeeded()
          await example.said(effect)
        })
    },
  )

  it('walk-through.js', () =>
    during('walk-through.js', async (example) => {
      const caFile = /the CA that clients trust is (.*)/.exec(example.output)?.[1] ?? ''
      const client = await connected(target(example, caFile))
      await client.subscribeAsync('lamp/#')
      const message = nextMessage(client)
      await client.publishAsync('lamp/1', 'on')
      expect(await message).toEqual(['lamp/1', 'on'])
      await example.said('by TLSv1.2')
      await expect(connected(target(example))).rejects.toThrow()
    }))

  it('mutual-tls.js', () =>
    during('mutual-tls.js', async (example) => {
      const folder = /certificates are in (.*)/.exec(example.output)?.[1] ?? ''
      const identity = (name: string) => runner.identity(folder, name)
      const caFile = `${folder}/ca.pem`
      const first = await connected(target(example, caFile), identity('device-1'))
      await first.publishAsync('devices/device-1/temperature', '21', { qos: 1 })
      await example.said('devices/device-1/temperature: 21')
      await expect(first.publishAsync('devices/device-2/temperature', '22', { qos: 1 })).rejects.toThrow(
        'Not authorized',
      )
      for (const options of [identity('device-3'), {}])
        await expect(connected(target(example, caFile), options)).rejects.toThrow()
      await example.said('revocation list')
      expect(example.output).not.toContain('device-2/temperature')
    }))

  it('authentication-and-authorization.js', () =>
    during('authentication-and-authorization.js', async (example) => {
      const user = (username: string, password: string) => connected(target(example), { username, password })
      const display = await user('display', 'look')
      const [granted] = await display.subscribeAsync('readings/+', { qos: 2 })
      expect(granted!.qos).toBe(1)
      const message = nextMessage(display)
      const sensor = await user('sensor-1', 'measure')
      await sensor.publishAsync('readings/sensor-1', '21', { qos: 1 })
      expect(await message).toEqual(['readings/sensor-1', '21'])
      await expect(sensor.publishAsync('readings/sensor-2', '21', { qos: 1 })).rejects.toThrow('Not authorized')
      await expect(display.publishAsync('readings/display', '1', { qos: 1 })).rejects.toThrow('Not authorized')
      await expect(sensor.subscribeAsync('#')).rejects.toThrow()
      await expect(user('alice', 'wrong')).rejects.toThrow(/Bad User Name|Not authorized/i)
      const alice = await user('alice', 'wonderland')
      await alice.subscribeAsync('#')
      await alice.publishAsync('anything', 'goes', { qos: 2 })
    }))

  it('sni-two-names.js', () =>
    during('sni-two-names.js', async (example) => {
      const caFile = /the CA that clients trust is (.*)/.exec(example.output)?.[1] ?? ''
      for (const servername of ['home.localhost', 'office.localhost', 'localhost']) {
        await connected(target(example, caFile), { host: '127.0.0.1', servername })
        await example.said(`came to ${servername}`)
      }
      const other = mqttJsClient(target(example, caFile), { host: '127.0.0.1', servername: 'garden.localhost' })
      const [error] = await new Promise<[Error]>((resolve) => other.once('error', (cause) => resolve([cause])))
      expect(error.message).toMatch(/altnames/)
    }))

  it('http-service.js', () =>
    during('http-service.js', async (example) => {
      const http = `http://127.0.0.1:${/http on port (\d+)/.exec(example.output)?.[1]}`
      const client = await connected(target(example))
      await client.subscribeAsync('lamp/2')
      const message = nextMessage(client)
      const events = await fetch(`${http}/events`)
      const reader = events.body?.pipeThrough(new TextDecoderStream()).getReader()
      expect((await fetch(`${http}/lamp/2`, { method: 'PUT', body: 'off' })).status).toBe(204)
      expect(await message).toEqual(['lamp/2', 'off'])
      const event = await reader?.read()
      expect(event?.value).toBe('data: {"topic":"lamp/2","payload":"off"}\n\n')
      await client.publishAsync('lamp/1', 'on', { qos: 1 })
      expect(await (await fetch(`${http}/lamp/1`)).text()).toBe('on')
      expect((await fetch(`${http}/lamp/%23`)).status).toBe(404)
      expect((await fetch(`${http}/lamp/1`, { method: 'DELETE' })).status).toBe(405)
      await reader?.cancel().catch(() => undefined)
    }))
})
