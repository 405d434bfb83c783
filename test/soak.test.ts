import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { builtPackage } from './support/build'

/** What the broker's process tells of itself, after a garbage collection. */
interface Report {
  port: number
  rssBytes: number
  heapBytes: number
  connections: number
  clients: number
  sessions: number
  connected: number
  disconnected: number
  /** Events that came twice for one client, or a disconnection without a connection. */
  repeated: number
}

const patience = { timeout: 20_000, interval: 50 }
const megabyte = 1024 * 1024
/**
 * What a round may leave behind that the round before did not. The heap repeats itself to a quarter of a megabyte, so
 * that it shows 100 bytes a client. RSS wanders by 12 MB without a trend, because the allocator of the system gives
 * pages back when it likes; its bound shows what lies outside of the heap, from 3 kB a client on.
 */
const bounds = { heapBytes: megabyte, rssBytes: 32 * megabyte }

let child: ChildProcess
let port: number

async function report(): Promise<Report> {
  const answer = once(child, 'message')
  child.send('report')
  const [message] = await answer
  return message as Report
}

beforeAll(async () => {
  const module = pathToFileURL(join(await builtPackage(), 'dist/index.js')).href
  const script = fileURLToPath(new URL('soak/broker-process.mjs', import.meta.url))
  child = spawn(process.execPath, ['--expose-gc', script, module], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  await once(child, 'message')
  port = (await report()).port
}, 120_000)

afterAll(async () => {
  if (child === undefined) return
  const ended = once(child, 'exit')
  child.disconnect()
  await ended
})

/** As many connections as asked for, or as this process may have; then it says so. */
function affordable(wanted: number): number {
  const text = execFileSync('sh', ['-c', 'ulimit -n']).toString().trim()
  const limit = text === 'unlimited' ? Number.POSITIVE_INFINITY : Number(text)
  const count = Math.min(wanted, limit - 500)
  if (count < wanted) console.warn(`${count} connections instead of ${wanted}: ulimit -n is ${limit}`)
  return count
}

/** CONNECT of MQTT 3.1.1 with Clean Session and no Keep Alive. */
function connectPacket(clientId: string): Buffer {
  const id = Buffer.from(clientId)
  const head = Buffer.from([0x10, 12 + id.length, 0, 4, 0x4d, 0x51, 0x54, 0x54, 4, 2, 0, 0, 0, id.length])
  return Buffer.concat([head, id])
}

/** A client after its CONNACK. `number` chooses one of many source addresses, as ports of a single one would run out. */
function client(clientId: string, number: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', localAddress: `127.0.${1 + (number % 50)}.1` })
    socket.on('error', reject)
    socket.once('data', (bytes) => {
      if (bytes.toString('hex') === '20020000') resolve(socket)
      else reject(new Error(`CONNACK was ${bytes.toString('hex')}`))
    })
    socket.write(connectPacket(clientId))
  })
}

const closed = (socket: Socket): Promise<void> =>
  new Promise((resolve) => {
    if (socket.destroyed) resolve()
    else socket.once('close', () => resolve())
  })

/** Runs `step` for each number below `count`, a hundred at a time. */
async function each<T>(count: number, step: (number: number) => Promise<T>): Promise<T[]> {
  const results: T[] = new Array(count)
  let next = 0
  const worker = async (): Promise<void> => {
    for (let number = next++; number < count; number = next++) results[number] = await step(number)
  }
  await Promise.all(Array.from({ length: 100 }, worker))
  return results
}

/** Everybody has gone, and each came and went once. */
async function settled(before: Report, count: number): Promise<Report> {
  let last = before
  await vi.waitFor(async () => {
    last = await report()
    expect(last).toMatchObject({ connections: 0, clients: 0, sessions: 0 })
  }, patience)
  expect(last.connected - before.connected).toBe(count)
  expect(last.disconnected - before.disconnected).toBe(count)
  expect(last.repeated).toBe(0)
  return last
}

function expectNothingLeft(before: Report, after: Report): void {
  expect(after.heapBytes - before.heapBytes).toBeLessThan(bounds.heapBytes)
  expect(after.rssBytes - before.rssBytes).toBeLessThan(bounds.rssBytes)
}

describe('a broker that many clients come to and go from', () => {
  it('holds 10,000 idle connections, and gives their place back', async () => {
    const count = affordable(10_000)
    const round = async (): Promise<Report> => {
      const before = await report()
      const sockets = await each(count, (number) => client(`idle-${number}`, number))
      expect(await report()).toMatchObject({ clients: count, sessions: count })
      for (const socket of sockets) socket.end()
      await Promise.all(sockets.map(closed))
      return settled(before, count)
    }
    const first = await round()
    const second = await round()
    expectNothingLeft(first, second)
  }, 60_000)

  it('survives 1,000 takeovers of one Client Identifier', async () => {
    const before = await report()
    let current = await client('same', 0)
    for (let number = 1; number <= 1_000; number++) {
      const former = closed(current)
      current = await client('same', number)
      await former
    }
    expect(await report()).toMatchObject({ clients: 1, sessions: 1 })
    current.end()
    const after = await settled(before, 1_001)
    expectNothingLeft(before, after)
  }, 60_000)

  it('survives 10,000 connects and disconnects', async () => {
    const disconnect = Buffer.from('e000', 'hex')
    const round = async (): Promise<Report> => {
      const before = await report()
      await each(10_000, async (number) => {
        const socket = await client(`brief-${number}`, number)
        const end = closed(socket)
        socket.end(disconnect)
        await end
      })
      return settled(before, 10_000)
    }
    const first = await round()
    const second = await round()
    expectNothingLeft(first, second)
  }, 60_000)
})
