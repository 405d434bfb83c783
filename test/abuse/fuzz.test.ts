import { connect, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { connect as connectTls, TLSSocket } from 'node:tls'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { createWebSocketStream, WebSocket } from 'ws'
import type { MqttBrokerOptions } from '../../src/options'
import { CertificateAuthority } from '../../src/security/certificate-authority'
import { ServerCertificate } from '../../src/security/server-certificate'
import { inProcess } from '../../src/transport/in-process'
import { tcp } from '../../src/transport/tcp'
import { tls } from '../../src/transport/tls'
import { webSocket } from '../../src/transport/websocket'
import { Random } from '../model/random'
import { SlowStore } from '../model/slow-store'
import { startBroker } from '../support/broker'
import { PacketMixer } from './packet-mixer'

/** Set FUZZ_SECONDS for a long run, FUZZ_SEED to repeat one. */
const seconds = Number(process.env['FUZZ_SECONDS'] ?? 16)
const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 2 ** 31)
const patience = { timeout: 15_000, interval: 20 }
/** What the broker's pools of buffers may keep, and room for what the engine does as it likes. */
const poolBytes = 40 * 1024 * 1024

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

function heapBytes(): number {
  collect()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

/** A client that only wants to know whether the broker still answers. */
class HealthyClient {
  answers = 0
  longestMs = 0
  private asked = performance.now()
  private readonly socket: Socket
  failed: Error | null = null

  constructor(port: number) {
    this.socket = connect({ port, host: '127.0.0.1' })
    this.socket.on('data', () => this.answered())
    this.socket.on('error', (error) => {
      this.failed = error
    })
    this.socket.on('close', () => {
      this.failed ??= new Error('closed')
    })
    this.socket.write(Buffer.from('101300044d5154540402000000076865616c746879', 'hex'))
  }

  end(): void {
    this.socket.removeAllListeners('close')
    this.socket.destroy()
  }

  private answered(): void {
    this.answers++
    this.longestMs = Math.max(this.longestMs, performance.now() - this.asked)
    setTimeout(() => {
      this.asked = performance.now()
      this.socket.write(Buffer.from('c000', 'hex'))
    }, 20)
  }
}

/** Sends bytes in pieces of any size, and goes in one of several ways. Resolves when the connection has closed. */
function attack(stream: Duplex, bytes: Buffer, random: Random): Promise<void> {
  return new Promise((resolve) => {
    stream.on('error', () => undefined)
    stream.once('close', () => resolve())
    const reads = random.chance(0.9)
    if (reads) stream.resume()
    let at = 0
    const pieces = random.pick([1, 10, 500, 70_000])
    const leave = (): void => {
      const way = random.pick(['end', 'reset', 'destroy'])
      // who does not read never sees the end
      if (way === 'end' && reads) stream.end()
      else if (way === 'reset' && stream instanceof Socket && !(stream instanceof TLSSocket)) stream.resetAndDestroy()
      else stream.destroy()
    }
    const writeOn = (): void => {
      if (stream.destroyed) return
      if (at >= bytes.length || random.chance(0.001)) {
        leave()
        return
      }
      const end = Math.min(bytes.length, at + Math.max(1, random.below(pieces * 2), bytes.length >> 8))
      stream.write(bytes.subarray(at, end))
      at = end
      setImmediate(writeOn)
    }
    writeOn()
  })
}

async function transports() {
  const authority = await CertificateAuthority.create({ name: 'Fuzz CA' })
  const { cert, key } = await authority.issueServer({ name: 'localhost' })
  const local = inProcess()
  const listeners = [
    tcp({ port: 0 }),
    tls({ port: 0, certificate: ServerCertificate.fromPem({ cert, key }) }),
    webSocket({ port: 0 }),
    local,
  ]
  const open = (ports: readonly number[]): (() => Duplex)[] => [
    () => connect({ port: ports[0]!, host: '127.0.0.1' }),
    () => connectTls({ port: ports[1]!, host: '127.0.0.1', servername: 'localhost', ca: authority.cert }),
    () => createWebSocketStream(new WebSocket(`ws://127.0.0.1:${ports[2]}/mqtt`, 'mqtt')),
    () => local.connect(),
  ]
  return { listeners, open }
}

const limits = {
  maximumQueuedMessages: 50,
  maximumSessionExpiryInterval: 1,
  maximumRetainedMessages: 20,
  maximumOutgoingBytes: 65_536,
  receiveMaximum: 20,
}

/** What the application does meanwhile: answers late, says no, throws. */
const hooks: MqttBrokerOptions = {
  authenticate: (client) =>
    client.clientId === 'd' ? new Promise((resolve) => setImmediate(() => resolve(true))) : true,
  authorizePublish: (_client, { topic }) => {
    if (topic === 'é') throw new Error('no')
    return topic === 'slow' ? new Promise((resolve) => setImmediate(() => resolve(true))) : topic !== 'a/b/c'
  },
  authorizeSubscribe: (_client, { filter }) =>
    filter === 'slow' ? Promise.resolve({ qos: 0 as const }) : filter !== '+/b',
}

const variants: [string, () => MqttBrokerOptions][] = [
  ['of its defaults', () => ({})],
  [
    'with hooks, a slow store, and an end to who is too slow',
    () => ({ ...hooks, store: new SlowStore(), queueOverflow: 'disconnect', queueQoS0: true }),
  ],
]

describe('a broker under random and spoilt packets on every transport', () => {
  it.each(variants)(
    `%s throws nothing, answers everybody else and keeps nothing (seed ${seed})`,
    async (_what, options) => {
      const faults: unknown[] = []
      const note = (error: unknown): void => void faults.push(error)
      process.on('uncaughtException', note)
      process.on('unhandledRejection', note)
      onTestFinished(() => {
        process.off('uncaughtException', note)
        process.off('unhandledRejection', note)
      })
      const { listeners, open } = await transports()
      const unexpected: unknown[] = []
      const nothing = (): void => undefined
      const error = (fields: object, text: string): void => {
        // what the hooks throw on purpose is told otherwise
        if (text === 'unexpected error') unexpected.push(fields)
      }
      const logger = { info: nothing, warn: nothing, error }
      const broker = await startBroker({ listeners, limits, logger, ...options() })
      const healthy = new HealthyClient(broker.addresses[0]!.port)
      const ways = open(broker.addresses.map(({ port }) => port))
      const random = new Random(seed)
      const mixer = new PacketMixer(seed)
      let packets = 0
      let connections = 0
      const run = async (ms: number): Promise<void> => {
        const end = performance.now() + ms
        const attacker = async (way: () => Duplex): Promise<void> => {
          while (performance.now() < end) {
            const { bytes, packets: count } = mixer.stream(400, random.pick([0, 0.002, 0.02, 0.2]))
            packets += count
            connections++
            await attack(way(), bytes, random)
          }
        }
        await Promise.all([0, 1, 2, 0, 2, 3, 3, 3].map((way) => attacker(ways[way]!)))
      }
      const settled = async (): Promise<number> => {
        await vi.waitFor(
          () =>
            expect(broker.statistics).toMatchObject({
              connections: 1,
              clients: 1,
              sessions: 1,
              subscriptions: 0,
              queuedMessages: 0,
              outgoingBytes: 0,
            }),
          patience,
        )
        return heapBytes()
      }
      const share = (seconds * 1000) / variants.length
      await run(share / 2)
      const before = await settled()
      await run(share / 2)
      const after = await settled()
      healthy.end()
      console.info(
        `${packets} packets on ${connections} connections, heap ${before} to ${after} bytes, longest answer ${healthy.longestMs.toFixed()} ms`,
      )
      expect(faults).toEqual([])
      expect(unexpected).toEqual([])
      expect(healthy.failed).toBeNull()
      expect(healthy.answers).toBeGreaterThan(10)
      expect(healthy.longestMs).toBeLessThan(3000)
      expect(after - before).toBeLessThan(poolBytes)
    },
    seconds * 1000 + 60_000,
  )
})
