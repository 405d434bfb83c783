import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest'
import type { BrokerStatistics, LimitOptions } from '../../src'
import { packet, string, u16, variable } from '../protocol/packet-bytes'
import { connectClient, startBroker } from '../support/broker'
import { builtPackage } from '../support/build'
import { RawClient } from '../support/raw-client'

const patience = { timeout: 10_000, interval: 50 }
const megabyte = 1024 * 1024

interface Memory {
  rss: number
  heapUsed: number
  external: number
  arrayBuffers: number
  statistics: BrokerStatistics
}

let module: string

beforeAll(async () => {
  module = pathToFileURL(join(await builtPackage(), 'dist/index.js')).href
}, 120_000)

/** A broker in a process of its own, and a friend who goes on talking to it until the test has finished. */
async function measured(limits: LimitOptions = {}) {
  const script = fileURLToPath(new URL('broker-process.mjs', import.meta.url))
  const args = ['--expose-gc', script, module, JSON.stringify({ limits })]
  const child: ChildProcess = spawn(process.execPath, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  onTestFinished(() => void child.kill())
  const [{ port }] = (await once(child, 'message')) as [{ port: number }]
  const memory = async (): Promise<Memory> => {
    const answer = once(child, 'message')
    child.send('memory')
    return ((await answer) as [Memory])[0]
  }
  const open = async (): Promise<RawClient> => {
    const client = await RawClient.open(port)
    onTestFinished(() => client.destroy())
    return client
  }
  const connect = async (options = {}): Promise<RawClient> => {
    const client = await open()
    await client.connect(options)
    return client
  }
  const friend = await connect()
  await friend.subscribe('friend')
  const talk = async (): Promise<void> => {
    friend.sendPublish('friend', 'still there')
    expect((await friend.nextMessage()).text).toBe('still there')
  }
  return { open, connect, memory, talk }
}

describe('a thousand packets that do not arrive whole', () => {
  const head = (announced: number): Buffer => Buffer.concat([Buffer.from([0x30]), variable(announced), string('t')])

  it('cost what has arrived, not what was announced', async () => {
    const { connect, memory, talk } = await measured()
    const clients = await Promise.all(Array.from({ length: 1000 }, () => connect()))
    const before = await memory()
    for (const client of clients) client.sendBytes(Buffer.concat([head(16_000_000), Buffer.alloc(1000)]))
    for (const client of clients.slice(0, 10)) client.sendBytes('00')
    await talk()
    const after = await memory()
    expect(after.statistics.clients).toBe(1001)
    expect(after.rss - before.rss).toBeLessThan(64 * megabyte)
  })

  it('cost no more than the budget, however much of them arrives; who is above it gets 0x97', async () => {
    const { connect, memory, talk } = await measured({ maximumTotalIncomingBytes: 16 * megabyte })
    const clients = await Promise.all(Array.from({ length: 100 }, () => connect({ protocolVersion: 5 })))
    const before = await memory()
    for (const client of clients) client.sendBytes(Buffer.concat([head(8_000_000), Buffer.alloc(megabyte)]))
    await vi.waitFor(() => expect(clients.filter(({ isClosed }) => isClosed).length).toBeGreaterThan(80), patience)
    const gone = clients.find(({ isClosed }) => isClosed)!
    expect(gone.received.at(-1)).toMatchObject({ cmd: 'disconnect', reasonCode: 0x97 })
    await talk()
    const after = await memory()
    expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(32 * megabyte)
    for (const client of clients) client.destroy()
    await vi.waitFor(async () => expect((await memory()).statistics.connections).toBe(1), patience)
    // what the dead had is nobody's any more: a large packet goes through
    const last = await connect()
    expect(await last.publish('large', Buffer.alloc(8_000_000), { qos: 1 })).toMatchObject({ cmd: 'puback' })
  })

  it('before CONNECT are no longer than 64 KiB', async () => {
    const { open, memory, talk } = await measured()
    const before = await memory()
    const clients = await Promise.all(Array.from({ length: 1000 }, () => open()))
    for (const [n, client] of clients.entries())
      client.sendBytes(
        n % 2 === 0 ? '10 ff ff ff 7f' : Buffer.concat([Buffer.from([0x10]), variable(65_000), Buffer.alloc(20_000)]),
      )
    await vi.waitFor(() => expect(clients.filter(({ isClosed }) => isClosed)).toHaveLength(500), patience)
    await talk()
    expect((await memory()).rss - before.rss).toBeLessThan(128 * megabyte)
  })
})

describe('slow readers', () => {
  it('all together take no more than their budget, and the others get everything', async () => {
    const { connect, memory, talk } = await measured({ maximumTotalOutgoingBytes: 8 * megabyte })
    const slow = await Promise.all(Array.from({ length: 40 }, () => connect()))
    for (const client of slow) {
      await client.subscribe('flood')
      client.pause()
    }
    const before = await memory()
    const publisher = await connect()
    const payload = Buffer.alloc(10_000)
    for (let n = 0; n < 1000; n++) {
      publisher.sendPublish('flood', payload)
      if (n % 100 === 0) await publisher.quiet()
    }
    await publisher.quiet()
    await talk()
    expect((await memory()).statistics.droppedMessages).toBeGreaterThan(1000)
    // what the collector has found is given back a little later, where the cores are busy
    await vi.waitFor(async () => {
      const { arrayBuffers, external } = await memory()
      expect(arrayBuffers + external - before.arrayBuffers - before.external).toBeLessThan(64 * megabyte)
    }, patience)
  })

  it('of answers are not read from any more', async () => {
    const { connect, memory, talk } = await measured({ maximumTotalOutgoingBytes: megabyte })
    const greedy = await Promise.all(Array.from({ length: 20 }, () => connect()))
    const before = await memory()
    const pings = Buffer.alloc(megabyte, Buffer.from('c000', 'hex'))
    for (const client of greedy) {
      client.pause()
      for (let n = 0; n < 16; n++) client.sendBytes(pings)
    }
    await talk()
    await talk()
    const after = await memory()
    expect(after.rss - before.rss).toBeLessThan(128 * megabyte)
  })
})

describe('long names', () => {
  it('of 6,000 topics that come twice do not stay in memory', async () => {
    const { connect, memory, talk } = await measured({ maximumTopicLevels: 128 })
    const publisher = await connect()
    const before = await memory()
    const filling = 'x'.repeat(30_000)
    for (let n = 0; n < 6_000; n++) {
      const one = packet(0x30, string(`${n}/${filling}`))
      publisher.sendBytes(Buffer.concat([one, one]))
      if (n % 500 === 0) await publisher.quiet()
    }
    await publisher.quiet()
    await talk()
    const after = await memory()
    expect(after.heapUsed + after.arrayBuffers - before.heapUsed - before.arrayBuffers).toBeLessThan(64 * megabyte)
  }, 30_000)

  it('count where messages are retained; what finds no room is refused with 0x97', async () => {
    const broker = await startBroker({ limits: { maximumRetainedBytes: 50_000, maximumRetainedMessages: 3 } })
    const client = await connectClient(broker, { protocolVersion: 5 })
    const retain = { qos: 1 as const, retain: true }
    const long = 'x'.repeat(30_000)
    expect(await client.publish(`a${long}`, '1', retain)).not.toMatchObject({ reasonCode: 0x97 })
    expect(await client.publish(`b${long}`, '1', retain)).toMatchObject({ reasonCode: 0x97 })
    expect(await client.publish(`a${long}`, '2', retain)).not.toMatchObject({ reasonCode: 0x97 })
    for (const topic of ['b', 'c']) await client.publish(topic, 'x', retain)
    expect(await client.publish('d', 'x', { ...retain, qos: 2 })).toMatchObject({ cmd: 'pubrec', reasonCode: 0x97 })
    expect(await client.publish('d', '', retain)).not.toMatchObject({ reasonCode: 0x97 })
    expect(broker.statistics.retainedMessages).toBe(3)
    expect(await client.quiet()).toEqual([])
  })
})

describe('many levels and many filters', () => {
  it('65,535 slashes are refused, in a topic and in a filter, and 128 levels of + match in flat time', async () => {
    const broker = await startBroker()
    const friend = await connectClient(broker)
    for (const whole of [
      packet(0x30, string('/'.repeat(65_535))),
      packet(0x82, u16(1), string('/'.repeat(65_535)), 0),
      packet(0x82, u16(1), string('+/'.repeat(32_767)), 0),
    ]) {
      const client = await connectClient(broker)
      client.sendBytes(whole)
      await client.closed()
    }
    const levels = 128
    const filters: string[] = []
    for (let n = 0; n < 2000; n++) {
      // each of 128 levels is a name or a wildcard: the worst for a trie
      const bits = (Math.imul(n, 0x9e3779b1) >>> 0).toString(2).padStart(32, '0').repeat(4)
      filters.push(Array.from({ length: levels }, (_, at) => (bits[at] === '1' ? '+' : 'a')).join('/'))
    }
    const client = await connectClient(broker)
    await client.subscribe(filters)
    const begin = performance.now()
    await friend.publish(Array.from({ length: levels }, () => 'a').join('/'), 'x', { qos: 1 })
    expect(performance.now() - begin).toBeLessThan(2000)
    expect(await friend.quiet()).toEqual([])
  })

  it('more than 100,000 filters in one packet are refused before they are looked at', async () => {
    const broker = await startBroker()
    const one = Buffer.concat([string('f'), Buffer.from([0])])
    const client = await connectClient(broker, { protocolVersion: 5 })
    client.sendBytes(packet(0x82, u16(1), 0, Buffer.alloc(one.length * 1_000_000, one)))
    await client.closed()
    expect(client.received.at(-1)).toMatchObject({ cmd: 'disconnect', reasonCode: 0x97 })
    expect(broker.statistics.subscriptions).toBe(0)
  })

  it.each(['__proto__', 'constructor', 'toString', 'hasOwnProperty'])(
    '%s is an ordinary string everywhere',
    async (name) => {
      const broker = await startBroker({ host: '127.0.0.1', authenticate: () => true, authenticationMethods: {} })
      const client = await connectClient(broker, {
        clientId: name,
        username: name,
        protocolVersion: 5,
        properties: { userProperties: { a: name } },
        will: { topic: name, payload: Buffer.from('will'), qos: 0, retain: false },
      })
      await client.subscribe([`${name}/+`, `$share/${name}/${name}`, name], 1)
      client.autoAcknowledge = true
      await client.publish(`${name}/${name}`, 'x', {
        qos: 1,
        retain: true,
        properties: { userProperties: { b: name }, responseTopic: name },
      })
      const again = await connectClient(broker, { protocolVersion: 5 })
      await again.subscribe(`${name}/#`)
      expect(await again.nextMessage()).toMatchObject({ topic: `${name}/${name}`, text: 'x' })
      expect([...broker.clients.keys()]).toContain(name)
      const strange = await RawClient.open(broker.port)
      expect(
        (await strange.connect({ protocolVersion: 5, properties: { authenticationMethod: name } })).reasonCode,
      ).toBe(0x8c)
    },
  )
})
