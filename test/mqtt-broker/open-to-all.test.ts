import { readFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import type { MqttBroker } from '../../src/mqtt-broker'
import type { MqttBrokerOptions } from '../../src/options'
import { silentLogger } from '../../src/ports/logger'
import { scramSha256 } from '../../src/security/scram-sha-256'
import { ServerCertificate } from '../../src/security/server-certificate'
import { SimulatedClock } from '../../src/testing/simulated-clock'
import { tls } from '../../src/transport/tls'
import { connectClient, openClient, startBroker } from '../support/broker'
import { TestAuthority } from '../support/certificates'

const authority = new TestAuthority('Open CA')
const certificate = ServerCertificate.fromPem(authority.server())
const patience = { timeout: 5000, interval: 10 }

/** What a broker logs as warnings while it starts. */
async function warningsOf(options: MqttBrokerOptions): Promise<string[]> {
  const warnings: string[] = []
  await startBroker({ ...options, logger: { ...silentLogger, warn: (_fields, text) => void warnings.push(text) } })
  return warnings
}

describe('a TLS broker', () => {
  it('warns on start that every client may connect', async () => {
    const [warning, ...others] = await warningsOf({ certificate })
    expect(warning).toMatch(/^every client that reaches mqtts:\/\/.*may connect: give an authenticate hook/)
    expect(others).toEqual([])
  })

  it('warns on the terminal where it has no logger', async () => {
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    onTestFinished(() => warn.mockRestore())
    await startBroker({ certificate })
    expect(warn.mock.calls.map(([text]) => String(text))).toEqual([expect.stringContaining('may connect')])
  })

  it.each<[string, MqttBrokerOptions]>([
    ['authenticates its clients', { authenticate: () => true }],
    ['has Authentication Methods', { authenticationMethods: { 'SCRAM-SHA-256': scramSha256(() => undefined) } }],
    ['needs client certificates', { ca: authority.cert }],
    ['is meant to be open', { allowAnonymous: true }],
    ['is on the loopback interface', { host: '127.0.0.1' }],
  ])('does not warn where it %s', async (_why, options) => {
    expect(await warningsOf({ certificate, ...options })).toEqual([])
  })

  it('warns of the one listener of several that asks for no certificate', async () => {
    const listeners = [
      tls({ port: 0, ca: authority.cert }),
      tls({ port: 0, host: '0.0.0.0' }),
      tls({ port: 0, host: '::1' }),
    ]
    const warnings = await warningsOf({ certificate, listeners })
    expect(warnings).toEqual([expect.stringContaining('mqtts://0.0.0.0:')])
  })
})

describe('a broker with Authentication Methods and no authenticate hook', () => {
  it.each([
    [5 as const, 0x87],
    [4 as const, 5],
  ])('refuses a client of MQTT %i that names none with %i', async (protocolVersion, code) => {
    const broker = await startBroker({ host: '127.0.0.1', authenticationMethods: {} })
    const { reasonCode, returnCode } = await (await openClient(broker)).connect({ protocolVersion })
    expect(protocolVersion === 5 ? reasonCode : returnCode).toBe(code)
  })
})

describe('what a client names', () => {
  it('reaches errors and the log without control characters', async () => {
    const lines: string[] = []
    const note = (fields: object, text: string): void => {
      lines.push(text, ...Object.values(fields).filter((value) => typeof value === 'string'))
    }
    const logger = { info: note, warn: note, error: note }
    const broker = await startBroker({
      logger,
      host: '127.0.0.1',
      authenticate: (_c, { password }) => password === undefined,
    })
    const errors: string[] = []
    broker.on('clientError', ({ message }) => errors.push(message))
    const name = 'a\u001b[2J\u0085\r\nb'
    const first = await connectClient(broker, { clientId: name, username: name })
    await (await openClient(broker)).connect({ clientId: name, username: `${name}2` })
    await (await openClient(broker)).connect({ clientId: name, username: name, password: 'wrong' })
    await connectClient(broker, { clientId: name, username: name })
    await first.closed()
    await vi.waitFor(() => expect(errors.length).toBeGreaterThan(1), patience)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there
    expect([...lines, ...errors].filter((text) => /[\u0000-\u001f\u007f-\u009f]/.test(text))).toEqual([])
    expect(lines.join(' ')).toContain('a\\u001b[2J\\u0085\\u000d\\u000ab')
  })
})

describe('Keep Alive', () => {
  it('of 0 is no longer than maximumKeepAlive for a client of MQTT 3.1.1 either', async () => {
    const clock = new SimulatedClock()
    const broker = await startBroker({ clock, limits: { maximumKeepAlive: 20 } })
    const silent = await connectClient(broker, { keepalive: 0 })
    const asked = await connectClient(broker, { keepalive: 60 })
    expect([...broker.clients.values()].map(({ keepAlive }) => keepAlive)).toEqual([20, 60])
    clock.advance(29_000)
    await silent.quiet()
    clock.advance(31_000)
    expect(await asked.quiet()).toEqual([])
    // it was not told of it: what it took since, the PINGRESP, counts as much as what it sent
    clock.advance(31_000)
    await silent.closed()
    expect(await asked.quiet()).toEqual([])
  })
})

/** Whether the system asks whether the peer of this port is still there: the timer of its socket, on Linux. */
async function hasKeepAlive(port: number): Promise<boolean> {
  const hexadecimal = port.toString(16).toUpperCase().padStart(4, '0')
  const tables = await Promise.all(['tcp', 'tcp6'].map((name) => readFile(`/proc/net/${name}`, 'utf8').catch(() => '')))
  const established = tables
    .join('')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
  return established.some(
    ([, local, , state, , timer]) => local?.endsWith(`:${hexadecimal}`) && state === '01' && timer?.startsWith('02:'),
  )
}

describe.runIf(process.platform === 'linux')('TCP keepalive', () => {
  const portOf = (broker: MqttBroker, number: number): number => broker.addresses[number]!.port

  it('is on for TCP and TLS', async () => {
    const listeners = [tls({ port: 0, host: '127.0.0.1' })]
    for (const options of [{}, { certificate, listeners }]) {
      const broker = await startBroker(options)
      const socket = connect(portOf(broker, 0), '127.0.0.1')
      onTestFinished(() => void socket.destroy())
      await vi.waitFor(async () => expect(await hasKeepAlive(portOf(broker, 0))).toBe(true), patience)
    }
  })
})
