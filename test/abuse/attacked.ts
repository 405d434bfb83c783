import { once } from 'node:events'
import type { Socket } from 'node:net'
import type { Packet } from 'mqtt-packet'
import { expect, vi } from 'vitest'
import { type ConnectOptions, encode } from '../support/raw-client'
import { isMeasured, mayTake } from './figures'
import { HonestPair } from './honest-pair'
import { HostileBroker, type HostileBrokerOptions } from './hostile-broker'
import { closedStream, connectAttacker } from './raw-attack'

/** What this machine takes to hand out a mebibyte of memory that it has not used yet: 0.3 ms as a rule, 10 on some virtual machines. */
const FRESH_MS = freshMebibyteMs()
/** What others may wait for one client, in milliseconds: 10, and what a table of 65,536 entries and a collection beside it take, which is four mebibytes. */
export const WAIT_MS = mayTake(10 + 4 * FRESH_MS, 20)
/** What an attack that goes on may take of a core. */
export const LOAD = isMeasured ? 0.5 : 0.9

function freshMebibyteMs(): number {
  const begun = performance.now()
  Buffer.allocUnsafeSlow(32 << 20).fill(1)
  return (performance.now() - begun) / 32
}

/**
 * The broker, and the longest time that its event loop has stood still for `attack`. Where the figures are asked for, or others waited too
 * long, it comes twice, and the better time counts: a collector or a neighbour that happens to come in between does not come in the same
 * place again.
 */
export async function attacked(
  attack: (broker: HostileBroker) => Promise<unknown>,
  options: HostileBrokerOptions = {},
  prepare: (broker: HostileBroker) => Promise<unknown> = async () => undefined,
) {
  const broker = await HostileBroker.start(options)
  await prepare(broker)
  const pair = await HonestPair.start(broker.port, { perSecond: 100 })
  await vi.waitFor(async () => expect((await pair.measure()).delivered).toBeGreaterThan(20), { timeout: 10_000 })
  const gaps: number[] = []
  const load: number[] = []
  for (let run = 0; run < 2; run++) {
    if (!isMeasured && run === 1 && gaps[0]! < WAIT_MS && load[0]! < LOAD) break
    await broker.reset()
    await pair.reset()
    await attack(broker)
    const { cpuMs, elapsedMs, ownGapMs, gapMs, ownGapP99Ms, peakRssBytes } = await broker.measure()
    gaps.push(ownGapMs)
    load.push(cpuMs / elapsedMs)
    if (isMeasured) {
      const { longestMs, ownDelayMs, p99Ms } = await pair.measure()
      console.log(
        JSON.stringify(
          { ownGapMs, gapMs, ownGapP99Ms, cpuMs, elapsedMs, peakRssBytes, longestMs, p99Ms, ownDelayMs },
          (_key, value) => (typeof value === 'number' ? Math.round(value * 10) / 10 : value),
        ),
      )
    }
  }
  const report = await pair.finish()
  expect(report).toMatchObject({ lost: 0, outOfOrder: 0 })
  return { broker, gapMs: Math.min(...gaps), load: Math.min(...load) }
}

export const v5 = (packet: Packet): Buffer => encode(packet, 5)

/** What the broker has sent to a socket and nobody has asked for. */
const unread = new WeakMap<Socket, Buffer[]>()

/** A client that has its CONNACK, and whose answers are read. */
export async function client(port: number, options: ConnectOptions): Promise<Socket> {
  const socket = await connectAttacker(port, options)
  const chunks: Buffer[] = []
  unread.set(socket, chunks)
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  return socket
}

/** Resolves with the next `count` bytes. */
export async function answered(socket: Socket, count: number): Promise<Buffer> {
  const chunks = unread.get(socket)!
  const length = (): number => chunks.reduce((sum, chunk) => sum + chunk.length, 0)
  while (length() < count)
    await Promise.race([once(socket, 'data'), closedStream(socket).then(() => Promise.reject(new Error('closed')))])
  const bytes = Buffer.concat(chunks.splice(0))
  chunks.push(bytes.subarray(count))
  return bytes.subarray(0, count)
}

export function subscribeBytes(filters: readonly string[], options = 0, messageId = 1): Buffer {
  const subscriptions = filters.map((topic) => ({ topic, qos: (options & 3) as 0 | 1 | 2 }))
  return v5({ cmd: 'subscribe', messageId, subscriptions })
}

export async function subscribed(socket: Socket, filters: readonly string[], qos = 0): Promise<Buffer> {
  const codes: Buffer[] = []
  for (let at = 0; at < filters.length; at += 1000) {
    const some = filters.slice(at, at + 1000)
    const packet = subscribeBytes(some, qos)
    const remaining = 3 + some.length
    socket.write(packet)
    codes.push((await answered(socket, 1 + (remaining > 127 ? 2 : 1) + remaining)).subarray(-some.length))
  }
  return Buffer.concat(codes)
}

export const numbered = (count: number, name: (n: number) => string): string[] =>
  Array.from({ length: count }, (_, n) => name(n))

export const connect5: ConnectOptions = { protocolVersion: 5 }
