import { once } from 'node:events'
import type { Socket } from 'node:net'
import { describe, expect, it, vi } from 'vitest'
import { block, bytes, packet, string, u16, u32 } from '../protocol/packet-bytes'
import { HostileBroker } from './hostile-broker'
import { closedStream, connectAttacker, connectBytes, flood, openAttacker } from './raw-attack'

const MEGABYTE = 1024 * 1024
/** What `limits.memory` is for a heap of 1,024 MiB: three quarters of V8's limit, which is above 1,024 MiB. */
const STATED = 0.75 * 1024 * MEGABYTE
const patience = { timeout: 60_000, interval: 100 }
const minutes = 60_000

/** Waits until the broker has read everything, and expects it to live within what is stated. */
async function expectWithin(broker: HostileBroker, read: Promise<unknown> = Promise.resolve()): Promise<void> {
  await read
  const { peakRssBytes, heapBytes, externalBytes, statistics } = await broker.measure({ collect: true })
  const figures = `RSS ${mega(peakRssBytes)}, in use ${mega(heapBytes + externalBytes)}, counted ${mega(statistics.memoryBytes)}`
  expect(broker.ended).toBeNull()
  expect(statistics.memoryBytes, figures).toBeLessThan(STATED)
  expect(heapBytes + externalBytes, figures).toBeLessThan(STATED)
  expect(peakRssBytes, figures).toBeLessThan(STATED)
}

const mega = (count: number): string => `${Math.round(count / MEGABYTE)} MB`

/** Resolves once the broker has answered a PINGREQ, and so has read what came before, or the connection has closed. */
async function settled(socket: Socket): Promise<void> {
  if (socket.closed || socket.destroyed) return
  const answered = new Promise<void>((resolve) => {
    const look = (chunk: Buffer): void => {
      if (!chunk.subarray(-2).equals(Buffer.from('d000', 'hex'))) return
      socket.off('data', look)
      resolve()
    }
    socket.on('data', look)
  })
  socket.write(Buffer.from('c000', 'hex'))
  await Promise.race([answered, closedStream(socket)])
}

/** A Topic Name of so many levels, each its own. */
const deepTopic = (n: number, levels: number, width = 1): string =>
  Array.from({ length: levels }, (_, level) => `${(n * levels + level).toString(36)}`.padStart(width, 'x')).join('/')

describe('at default limits and with 1,024 MiB of heap, the broker lives within its memory when', () => {
  it(
    '30,000 messages of one byte are retained under 128 levels each',
    async () => {
      const broker = await HostileBroker.start()
      const socket = await connectAttacker(broker.port)
      const topics = function* () {
        for (let n = 0; n < 30_000; n++) yield packet(0x31, string(deepTopic(n, 128)), Buffer.from('x'))
      }
      await flood(socket, topics())
      await expectWithin(broker, settled(socket))
    },
    3 * minutes,
  )

  it(
    'topics of 128 levels are published to at QoS 0, again and again',
    async () => {
      const broker = await HostileBroker.start()
      const socket = await connectAttacker(broker.port)
      const topics = function* () {
        for (let n = 0; n < 12_000; n++) {
          const one = packet(0x30, string(deepTopic(n, 128).slice(0, 500)))
          yield Buffer.concat([one, one])
        }
      }
      await flood(socket, topics())
      await expectWithin(broker, settled(socket))
    },
    3 * minutes,
  )

  it(
    'one SUBSCRIBE of 16 MB has 62,000 deep filters',
    async () => {
      const broker = await HostileBroker.start()
      const socket = await connectAttacker(broker.port, { clientId: 'deep', protocolVersion: 5 })
      const answer = once(socket, 'data')
      const filters = Array.from({ length: 62_000 }, (_, n) => bytes(string(`${deepTopic(n, 62)}/+`.slice(-255)), 1))
      await flood(socket, [packet(0x82, u16(1), 0, Buffer.concat(filters))])
      const [suback] = (await answer) as [Buffer]
      await expectWithin(broker, settled(socket))
      expect(suback[0]).toBe(0x90)
      await vi.waitFor(
        async () => expect((await broker.measure()).statistics.subscriptions).toBeLessThan(62_000),
        patience,
      )
    },
    3 * minutes,
  )

  it(
    '2,000 filters of 64 KB are subscribed to',
    async () => {
      const broker = await HostileBroker.start()
      const socket = await connectAttacker(broker.port, { clientId: 'long', protocolVersion: 5 })
      const codes: number[] = []
      socket.on('data', (chunk: Buffer) => codes.push(chunk[chunk.length - 1]!))
      const filling = 'x'.repeat(65_000)
      const packets = function* () {
        for (let n = 0; n < 2000; n++) yield packet(0x82, u16(1), 0, string(`${n}/${filling}`), 1)
      }
      await flood(socket, packets())
      await expectWithin(broker, settled(socket))
      expect(codes).toContain(0x97)
    },
    3 * minutes,
  )

  it(
    'a durable subscriber reads and never acknowledges',
    async () => {
      const broker = await HostileBroker.start()
      const subscriber = await connectAttacker(broker.port, { clientId: 'durable', clean: false })
      subscriber.write(packet(0x82, u16(1), string('big'), 1))
      const publisher = await connectAttacker(broker.port, { clientId: 'publisher' })
      const payload = Buffer.alloc(4 * MEGABYTE)
      const messages = function* () {
        for (let n = 1; n <= 400; n++) yield packet(0x32, string('big'), u16(n), payload)
      }
      await flood(publisher, messages())
      await expectWithin(broker, settled(publisher))
      const { statistics } = await broker.measure()
      expect(statistics.dropped.queueFull).toBeGreaterThan(300)
    },
    3 * minutes,
  )

  it(
    '5,000 Wills of 60 KB and Client Identifiers of 64 KB are left for ever',
    async () => {
      const broker = await HostileBroker.start()
      const refused = new Set<number>()
      const will = { topic: 'w', payload: Buffer.alloc(60_000), qos: 1 as const, retain: false }
      for (let n = 0; n < 5000; n += 50)
        await Promise.all(
          Array.from({ length: 50 }, async (_, k) => {
            const socket = await openAttacker(broker.port, { reads: false })
            const [connack] = await Promise.race([
              connectWithWill(socket, `lasting ${n + k}`, will),
              closedStream(socket).then(() => [Buffer.alloc(4)]),
            ])
            refused.add((connack as Buffer)[3]!)
            socket.destroy()
          }),
        )
      await expectWithin(broker)
      expect(refused).toContain(0x97)
      const long = await openAttacker(broker.port, { reads: false })
      const connack = once(long, 'data')
      long.write(connectBytes({ protocolVersion: 5, clientId: 'x'.repeat(65_000) }))
      expect((await connack)[0][3]).toBe(0x85)
    },
    3 * minutes,
  )

  it(
    '50 slow readers are sent messages of 15 MB each',
    async () => {
      const broker = await HostileBroker.start()
      const publisher = await connectAttacker(broker.port, { clientId: 'publisher' })
      for (let n = 0; n < 50; n++) {
        const reader = await connectAttacker(broker.port, { clientId: `reader ${n}` }, { reads: false })
        const suback = once(reader, 'data')
        reader.write(packet(0x82, u16(1), string(`big/${n}`), 0))
        reader.resume()
        await suback
        reader.pause()
      }
      const payload = Buffer.alloc(15 * MEGABYTE)
      const messages = function* () {
        for (let turn = 0; turn < 2; turn++)
          for (let n = 0; n < 50; n++) yield packet(0x30, string(`big/${n}`), payload)
      }
      await flood(publisher, messages())
      await expectWithin(broker, settled(publisher))
      const { statistics } = await broker.measure()
      expect(statistics.outgoingBytes).toBeLessThanOrEqual(Math.floor(STATED * 1.1 * 0.07))
      expect(statistics.dropped.slowReader).toBeGreaterThan(50)
    },
    3 * minutes,
  )

  it(
    '60,000 messages of one byte are retained, each from a slab that others filled',
    async () => {
      const broker = await HostileBroker.start()
      const socket = await connectAttacker(broker.port, { protocolVersion: 5, clientId: 'slabs' })
      const before = await broker.measure({ collect: true })
      const filling = packet(0x30, string('f'), block(2, u32(60)), Buffer.alloc(3000))
      const messages = function* () {
        for (let n = 0; n < 60_000; n++)
          yield Buffer.concat([packet(0x31, string(`r/${n}`), 0, Buffer.from('x')), filling, filling])
      }
      await flood(socket, messages())
      await expectWithin(broker, settled(socket))
      const after = await broker.measure({ collect: true })
      const used = after.heapBytes + after.externalBytes - before.heapBytes - before.externalBytes
      expect(after.statistics.retainedMessages).toBe(60_000)
      expect(used).toBeLessThan(80 * MEGABYTE)
    },
    3 * minutes,
  )

  it(
    '65,535 outgoing aliases are asked for by 20 clients, of topics of 60 KB',
    async () => {
      const broker = await HostileBroker.start()
      const publisher = await connectAttacker(broker.port, { clientId: 'publisher' })
      for (let n = 0; n < 20; n++) {
        const options = {
          protocolVersion: 5,
          clientId: `reader ${n}`,
          properties: { topicAliasMaximum: 65_535 },
        } as const
        const reader = await connectAttacker(broker.port, options)
        reader.write(packet(0x82, u16(1), 0, string('#'), 0))
        await settled(reader)
      }
      const filling = 'x'.repeat(60_000)
      const messages = function* () {
        for (let n = 0; n < 2000; n++) yield packet(0x30, string(`${n}/${filling}`))
        for (let n = 0; n < 20_000; n++) yield packet(0x30, string(`${n}/${'y'.repeat(200)}`))
      }
      await flood(publisher, messages())
      await expectWithin(broker, settled(publisher))
    },
    3 * minutes,
  )

  it(
    '50 WebSocket clients send one-byte fragments before CONNECT, and 50 send 16 MB after the first AUTH',
    async () => {
      const broker = await HostileBroker.start({ scenarios: { 'endless-auth': undefined } })
      const before = await broker.measure({ collect: true })
      const fragments = Buffer.concat(new Array(10_000).fill(masked(0, Buffer.of(0))))
      await Promise.all(
        Array.from({ length: 50 }, async () => {
          const socket = await openWebSocket(broker.port)
          // a CONNECT of 60,000 bytes, of which 40,000 come
          socket.write(masked(2, Buffer.of(0x10, 0xe0, 0xd4, 0x03)))
          await flood(socket, new Array(4).fill(fragments))
        }),
      )
      await Promise.all(
        Array.from({ length: 50 }, async (_, n) => {
          const socket = await openWebSocket(broker.port)
          const auth = once(socket, 'data')
          const properties = { authenticationMethod: 'endless', authenticationData: Buffer.alloc(1) }
          const connect = connectBytes({ protocolVersion: 5, clientId: `auth ${n}`, properties })
          // an AUTH of 15 MB
          socket.write(Buffer.concat([masked(2, connect, true), masked(2, Buffer.of(0xf0, 0x80, 0x80, 0xc0, 0x07))]))
          await auth
          await flood(socket, new Array(15).fill(masked(0, Buffer.alloc(MEGABYTE))))
        }),
      )
      await expectWithin(broker)
      const { heapBytes, externalBytes } = await broker.measure({ collect: true })
      expect(heapBytes + externalBytes - before.heapBytes - before.externalBytes).toBeLessThan(40 * MEGABYTE)
    },
    3 * minutes,
  )

  it(
    '500 WebSocket clients have parts of large messages waiting after CONNACK',
    async () => {
      const broker = await HostileBroker.start({ scenarios: { websocket: {} } })
      const before = await broker.measure({ collect: true })
      for (let n = 0; n < 500; n++) {
        const socket = await openWebSocket(broker.ports[1]!)
        const connack = once(socket, 'data')
        socket.write(masked(2, connectBytes({ clientId: `part ${n}` }), true))
        await connack
        // of a PUBLISH of 15 MB
        await flood(socket, [masked(2, bytes(Buffer.of(0x30, 0x80, 0x80, 0xc0, 0x07), Buffer.alloc(MEGABYTE)))])
      }
      await expectWithin(broker)
      const { heapBytes, externalBytes, statistics } = await broker.measure({ collect: true })
      expect(heapBytes + externalBytes - before.heapBytes - before.externalBytes).toBeLessThan(STATED * 0.1)
      expect(statistics.clients).toBeLessThan(250)
    },
    3 * minutes,
  )
})

/** A WebSocket that is read and forgotten once its upgrade is answered. */
async function openWebSocket(port: number): Promise<Socket> {
  const socket = await openAttacker(port, { reads: false })
  const answer = once(socket, 'data')
  const key = Buffer.alloc(16).toString('base64')
  const headers = `Host: localhost:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n`
  socket.write(`GET /mqtt HTTP/1.1\r\n${headers}Sec-WebSocket-Key: ${key}\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n`)
  await answer
  return socket
}

/** A frame of a client, with a mask of zeros. */
function masked(opcode: number, payload: Uint8Array, isFinal = false): Buffer {
  const { length } = payload
  const short = length < 126 ? Buffer.of(0x80 | length) : bytes(0xfe, u16(length))
  const size = length < 65_536 ? short : bytes(0xff, u32(0), u32(length))
  return bytes((isFinal ? 0x80 : 0) | opcode, size, Buffer.alloc(4), payload)
}

/** Sends CONNECT with a Will of endless delay, and gives the bytes of CONNACK. */
function connectWithWill(
  socket: Socket,
  clientId: string,
  will: { topic: string; payload: Buffer; qos: 1; retain: boolean },
) {
  const connack = once(socket, 'data')
  const properties = { sessionExpiryInterval: 0xffffffff }
  const delayed = { ...will, properties: { willDelayInterval: 0xffffffff } }
  socket.write(connectBytes({ protocolVersion: 5, clientId, properties, will: delayed }))
  return connack
}
