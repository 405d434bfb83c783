import { once } from 'node:events'
import { expect, it, vi } from 'vitest'
import { WebSocket } from 'ws'
import type { ConnectOptions } from '../support/raw-client'
import {
  answered,
  attacked,
  client,
  connect5,
  LOAD,
  numbered,
  subscribeBytes,
  subscribed,
  v5,
  WAIT_MS,
} from './attacked'
import { closedStream, connectAttacker, connectBytes, flood, openAttacker } from './raw-attack'

it('65,536 filters {a,+}^16/# of one client, and messages that all of them would match', async () => {
  const filters = numbered(
    65_536,
    (n) => `${[...n.toString(2).padStart(16, '0')].map((bit) => (bit === '1' ? '+' : 'a')).join('/')}/#`,
  )
  const levels = 'a/'.repeat(16)
  const publishes = numbered(2_000, (n) => `${levels}${n}`).map((topic) =>
    v5({ cmd: 'publish', topic, payload: '', qos: 0, dup: false, retain: false }),
  )
  const { gapMs } = await attacked(async (broker) => {
    const attacker = await client(broker.port, { ...connect5, clientId: 'patterns' })
    await subscribed(attacker, filters)
    await flood(attacker, publishes)
    attacker.write(v5({ cmd: 'pingreq' }))
    await answered(attacker, 2)
  })
  expect(gapMs).toBeLessThan(WAIT_MS)
}, 60_000)

it('one SUBSCRIBE with the same filter 100,000 times, over 20,000 retained messages', async () => {
  const { gapMs } = await attacked(
    async (broker) => {
      const attacker = await client(broker.port, { ...connect5, clientId: 'repeats' })
      attacker.write(subscribeBytes(new Array(100_000).fill('+/zzz')))
      const suback = await answered(attacker, 1 + 3 + 3 + 100_000)
      expect(suback.subarray(7).every((code) => code === 0)).toBe(true)
      attacker.write(v5({ cmd: 'pingreq' }))
      await answered(attacker, 2)
    },
    {},
    async (broker) => {
      const publisher = await client(broker.port, { ...connect5, clientId: 'retains' })
      const retained = numbered(20_000, (n) => `${n}/yyy`).map((topic) =>
        v5({ cmd: 'publish', topic, payload: 'x', qos: 0, dup: false, retain: true }),
      )
      await flood(publisher, retained)
      publisher.write(v5({ cmd: 'pingreq' }))
      await answered(publisher, 2)
    },
  )
  expect(gapMs).toBeLessThan(WAIT_MS)
}, 60_000)

/** A packet of `type` with so many empty User Properties. */
function fullOfProperties(first: number, head: readonly number[], count: number): Buffer {
  const properties = Buffer.alloc(count * 5)
  for (let at = 0; at < properties.length; at += 5) properties[at] = 0x26
  const body = Buffer.concat([Buffer.from(head), integer(properties.length), properties])
  return Buffer.concat([Buffer.from([first]), integer(body.length), body])
}

function integer(value: number): Buffer {
  const bytes: number[] = []
  for (let rest = value; ; rest >>= 7) {
    if (rest < 128) return Buffer.from([...bytes, rest])
    bytes.push((rest & 127) | 128)
  }
}

it.each([
  ['DISCONNECT', 0xe0, [0]],
  ['AUTH', 0xf0, [0x19]],
  ['PUBACK', 0x40, [0, 1, 0]],
  ['PUBLISH', 0x30, [0, 1, 0x61]],
  ['SUBSCRIBE', 0x82, [0, 1]],
])(
  '%s full of User Properties',
  async (_name, first, head) => {
    const packet = fullOfProperties(first, head, 3_300_000)
    const small = fullOfProperties(first, head, 1000)
    const { gapMs } = await attacked(async (broker) => {
      for (const bytes of [packet, small, packet]) {
        const attacker = await connectAttacker(broker.port, { ...connect5, clientId: 'properties' })
        const closed = closedStream(attacker)
        await flood(attacker, [bytes])
        attacker.end()
        await closed
      }
    })
    expect(gapMs).toBeLessThan(WAIT_MS)
  },
  60_000,
)

it('CONNECTs full of User Properties', async () => {
  const head = [0, 4, 0x4d, 0x51, 0x54, 0x54, 5, 2, 0, 0]
  const { gapMs } = await attacked(async (broker) => {
    for (let n = 0; n < 100; n++) {
      const packet = fullOfProperties(0x10, head, n % 2 === 0 ? 1000 : 13_000)
      // the Client Identifier is missing: it is found out at the end
      const socket = await openAttacker(broker.port)
      socket.write(packet)
      await closedStream(socket)
    }
  })
  expect(gapMs).toBeLessThan(WAIT_MS)
}, 60_000)

it('one WebSocket message of 16 MiB with 1.8 million PUBLISHes', async () => {
  const { gapMs } = await attacked(
    async (broker) => {
      const socket = new WebSocket(`ws://127.0.0.1:${broker.ports[1]}/mqtt`, 'mqtt')
      await once(socket, 'open')
      socket.send(connectBytes({ clientId: 'message' }))
      await once(socket, 'message')
      const message = Buffer.alloc(1_800_000 * 9)
      // 500,000 topics of three characters, so that most of them are not known
      for (let n = 0, at = 0; n < 1_800_000; n++, at += 9) {
        const topic = [n, Math.floor(n / 80), Math.floor(n / 6400)].map((digit) => 0x2c + (digit % 80))
        message.set([0x30, 7, 0, 3, ...topic, 0x78, 0x78], at)
      }
      socket.send(message)
      socket.send(Buffer.from('c000', 'hex'))
      const [answer] = (await once(socket, 'message')) as [Buffer]
      expect(answer.toString('hex')).toBe('d000')
      socket.terminate()
    },
    { scenarios: { websocket: {} } },
  )
  expect(gapMs).toBeLessThan(WAIT_MS)
}, 120_000)

const durable: ConnectOptions = { ...connect5, clean: false, properties: { sessionExpiryInterval: 3600 } }

it('80,000 subscriptions of four clients resumed again and again', async () => {
  const filters = numbered(20_000, (n) => `device/${n}`)
  let resumed = 0
  const { gapMs, load } = await attacked(
    async (broker) => {
      const end = performance.now() + 5000
      const resume = async (n: number): Promise<void> => {
        while (performance.now() < end) {
          const attacker = await connectAttacker(broker.port, { ...durable, clientId: `many${n}` })
          resumed++
          attacker.destroy()
          await closedStream(attacker)
        }
      }
      await Promise.all([0, 1, 2, 3].map(resume))
    },
    { scenarios: { 'asked-subscriptions': undefined } },
    async (broker) => {
      for (const n of [0, 1, 2, 3]) {
        const attacker = await client(broker.port, { ...durable, clientId: `many${n}` })
        const codes = await subscribed(attacker, filters)
        expect(codes.every((code) => code === 0)).toBe(true)
        attacker.end(v5({ cmd: 'disconnect' }))
        await closedStream(attacker)
      }
    },
  )
  expect(resumed).toBeGreaterThan(0)
  expect(gapMs).toBeLessThan(WAIT_MS)
  expect(load).toBeLessThan(LOAD)
}, 120_000)

it('sessions with 30,000 subscriptions that end, again and again, and an UNSUBSCRIBE of 10,000', async () => {
  const filters = numbered(30_000, (n) => `device/${n}`)
  const { gapMs, broker } = await attacked(async (broker) => {
    for (let n = 0; n < 2; n++) {
      const attacker = await client(broker.port, { ...connect5, clientId: 'ends' })
      await subscribed(attacker, filters, 1)
      if (n === 0) {
        attacker.write(v5({ cmd: 'unsubscribe', messageId: 9, unsubscriptions: filters.slice(0, 10_000) }))
        await answered(attacker, 1 + 2 + 3 + 10_000)
      }
      attacker.destroy()
      await closedStream(attacker)
    }
  })
  await vi.waitFor(async () => expect((await broker.measure()).statistics.subscriptions).toBe(1), { timeout: 20_000 })
  expect(gapMs).toBeLessThan(WAIT_MS)
}, 120_000)

it('65,536 shared groups of one client', async () => {
  const filters = numbered(65_536, (n) => `$share/g${n}/a`)
  const { gapMs } = await attacked(async (broker) => {
    const attacker = await client(broker.port, { ...connect5, clientId: 'groups' })
    await subscribed(attacker, filters)
    const publisher = await client(broker.port, { ...connect5, clientId: 'publisher' })
    const packet = v5({ cmd: 'publish', topic: 'a', payload: 'x', qos: 0, dup: false, retain: false })
    await flood(publisher, new Array(1000).fill(packet))
    publisher.write(v5({ cmd: 'pingreq' }))
    await answered(publisher, 2)
  })
  expect(gapMs).toBeLessThan(WAIT_MS)
}, 60_000)
