import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest'
import { Child } from '../../bench/children'
import { filtersOf, messageOf } from '../../bench/load/filters'
import { scenarios } from '../../bench/scenarios'
import { MqttBroker } from '../../src/index'
import { type Forgery, startForger } from './forger'

let load: Child

beforeAll(async () => {
  load = await Child.start('./load.js')
})

afterAll(async () => {
  await load.stop()
})

const scenarioOf = (id: string) => scenarios.find((scenario) => scenario.id === id)!
const jobOf = (id: string) => scenarioOf(id).job

/** Runs a job until `enough` messages were delivered. */
async function play(job: Readonly<Record<string, unknown>>, enough: number) {
  await load.ask('open', job)
  while ((await load.ask('snapshot')).delivered <= enough);
  return load.ask('finish')
}

async function countingBroker(onTopic?: (topic: string) => void) {
  const seen = { published: 0 }
  const authorizePublish = (_: unknown, { topic }: { topic: string }) => {
    seen.published++
    onTopic?.(topic)
    return true
  }
  const broker = await MqttBroker.start({ port: 0, authorizePublish })
  onTestFinished(() => broker.stop())
  return { seen, broker, port: broker.port }
}

describe('the load', () => {
  it.each([
    ['a1', 1],
    ['a3', 1],
    ['b0', 1],
    ['b1', 1],
    ['c0', 500],
    ['d0', 1],
    ['d1', 1],
    ['d2', 1],
    ['e', 4],
    ['d1-v5', 1],
    ['d2-v5', 1],
    ['a2-user', 1],
    ['a2-alias', 1],
    ['unique', 1],
  ])('counts in %s what the broker saw, nothing lost and nothing twice', async (id, fanout) => {
    const { seen, port } = await countingBroker()
    const { sent, delivered, missing, extra } = await play({ ...jobOf(id), port }, 5000)
    expect({ delivered, missing, extra }).toEqual({ delivered: sent, missing: 0, extra: 0 })
    expect(sent).toBe(seen.published * fanout)
  })

  it.each(['a1', 'b1', 'd2', 'e', 'f', 'latency', 'a2-user', 'd1-alias', 'unique'])(
    'finds in %s every message as it was sent',
    async (id) => {
      const { port } = await countingBroker()
      const { sent, delivered, missing, extra } = await play({ ...jobOf(id), port, verify: true }, 3000)
      expect({ delivered, missing, extra }).toEqual({ delivered: sent, missing: 0, extra: 0 })
    },
  )

  it('keeps the pace that was asked for, and no more', async () => {
    const { seen, port } = await countingBroker()
    await load.ask('open', { ...jobOf('f'), port })
    await load.ask('snapshot', { latencies: true })
    const from = performance.now()
    await vi.waitFor(async () =>
      expect((await load.ask('snapshot', { latencies: true })).delivered).toBeGreaterThan(2000),
    )
    const { sent, missing, extra } = await load.ask('finish')
    expect({ missing, extra }).toEqual({ missing: 0, extra: 0 })
    expect(seen.published).toBe(sent)
    // what was due since the start, and in the while before `from` was taken
    expect(sent).toBeLessThan((performance.now() - from) * 5 + 2500)
  })

  it('stores and drains the queue of a session that is away', async () => {
    const { port } = await countingBroker()
    await load.ask('open', { ...jobOf('h'), messages: 500, port })
    expect(await load.ask('run', { step: 'store' })).toEqual({ stored: 500 })
    expect(await load.ask('run', { step: 'drain' })).toEqual({ drained: 500 })
    expect(await load.ask('finish')).toEqual({ missing: 0, extra: 0 })
  })

  it.each(['routing-10k', 'routing-100k', 'routing-1m'])(
    'subscribes, matches and unsubscribes the filters of %s',
    async (id) => {
      const { seen, broker, port } = await countingBroker()
      await load.ask('open', { ...jobOf(id), clients: 10, filters: 1000, messages: 3000, port })
      const early = seen.published
      expect(broker.statistics.subscriptions).toBe(0)
      expect(await load.ask('run', { step: 'subscribe' })).toEqual({ filters: 1000 })
      expect(broker.statistics.subscriptions).toBe(1000)
      await load.ask('run', { step: 'encode' })
      expect(await load.ask('run', { step: 'publish' })).toEqual({ sent: 3000, delivered: 3000 })
      expect(seen.published - early).toBe(3000)
      expect(await load.ask('run', { step: 'unsubscribe' })).toEqual({ filters: 1000 })
      expect(broker.statistics.subscriptions).toBe(0)
      expect(await load.ask('finish')).toEqual({ missing: 0, extra: 0 })
    },
  )

  it('counts the bytes of the relay', async () => {
    const relay = await Child.start('./relay.js')
    onTestFinished(() => relay.stop())
    const port = await relay.ask('start', {})
    for (const id of ['a1', 'b0', 'd0']) {
      const { sent, delivered, missing, extra } = await play({ ...jobOf(id), port, raw: true }, 5000)
      expect({ delivered, missing, extra }).toEqual({ delivered: sent, missing: 0, extra: 0 })
    }
  })
})

describe('the filters of a routing scenario', () => {
  const [clients, filters, messages] = [20, 400, 2000]
  const all = Array.from({ length: clients }, (_, client) => filtersOf('fleet', client, 0, filters / clients))
  const matches = (filter: string, topic: string) =>
    new RegExp(`^${filter.replace('+', '[^/]+').replace('/#', '(/.*)?')}$`).test(topic)

  it('are all different, a tenth with + and a tenth with #', () => {
    const flat = all.flat()
    expect(new Set(flat).size).toBe(filters)
    expect(flat.filter((filter) => filter.includes('+'))).toHaveLength(filters / 10)
    expect(flat.filter((filter) => filter.includes('#'))).toHaveLength(filters / 10)
  })

  it('match each message once, with a wildcard, and each of these has its turn', () => {
    const used = new Set<string>()
    const topics = new Set<string>()
    for (let sequence = 0; sequence < messages; sequence++) {
      const { client, topic } = messageOf('fleet', clients, filters, sequence)
      const matching = all.flat().filter((filter) => matches(filter, topic))
      expect(matching).toHaveLength(1)
      expect(all[client]).toContain(matching[0])
      expect(matching[0]).toMatch(/[+#]/)
      used.add(matching[0]!)
      topics.add(topic)
    }
    expect(used.size).toBe(filters / 5)
    expect(topics.size).toBe(messages)
  })
})

describe('a disturbance', () => {
  const disturbing = async (
    id: string,
    changes: Readonly<Record<string, unknown>>,
    onTopic?: (topic: string) => void,
  ) => {
    const { seen, broker, port } = await countingBroker(onTopic)
    await load.ask('open', { ...scenarioOf(id).disturbance, ...changes, port })
    return { seen, broker }
  }

  it('of misses has a topic of its own for each message, at the pace that was asked for', async () => {
    const topics: string[] = []
    const { seen } = await disturbing('misses', { rate: 5000 }, (topic) => topics.push(topic))
    const { sent, pace } = await load.ask('run', { seconds: 0.2 })
    expect(sent).toBe(1000)
    expect(seen.published).toBe(1000)
    expect(new Set(topics).size).toBe(1000)
    expect(pace).toBeGreaterThan(0)
    expect(pace).toBeLessThanOrEqual(100)
    await load.ask('finish')
  })

  it('of a million subscriptions makes them before the clock starts, and takes them back', async () => {
    const { broker } = await disturbing('million', { clients: 5, filters: 2000 })
    await load.ask('prepare', { seconds: 0.1 })
    expect(broker.statistics.subscriptions).toBe(2000)
    await load.ask('run', { seconds: 0.05 })
    expect(broker.statistics.subscriptions).toBe(2000)
    await load.ask('leave')
    expect(broker.statistics.subscriptions).toBe(0)
    await load.ask('finish')
  })

  it('of a storm lasts until every client is connected', async () => {
    const { broker } = await disturbing('storm', { connections: 200, rate: 1000 })
    const { connected } = await load.ask('run', { seconds: 1 })
    expect(connected).toBe(200)
    expect(broker.statistics.clients).toBe(200)
    await load.ask('finish')
  })

  it('of a storm has all the clients of its title when a second or more is measured', () => {
    const { title, disturbance } = scenarioOf('storm')
    const { connections, rate } = disturbance as { connections: number; rate: number }
    expect(title).toContain(connections.toLocaleString('en-US'))
    expect(title).toContain(rate.toLocaleString('en-US'))
    expect(connections).toBeLessThanOrEqual(rate * 5)
  })

  it('ends with its broker', async () => {
    const { broker } = await disturbing('million', { clients: 5, filters: 2000 })
    await broker.stop()
    await expect(load.ask('prepare', { seconds: 0.1 })).rejects.toThrow(
      /closed a connection|DISCONNECT|ECONNRESET|EPIPE/,
    )
    await load.ask('finish').catch(() => {})
  })
})

describe('the load finds out a broker that', () => {
  const forged = async (forge: Forgery, changes: Readonly<Record<string, unknown>> = {}) => {
    const port = await startForger(forge, onTestFinished)
    return play({ ...jobOf('a1'), credit: 100, port, ...changes }, 1000)
  }
  const other = (packet: Buffer, number: number) => (number === 500 ? [] : [packet])

  it('loses a message', async () => {
    expect(await forged(other)).toMatchObject({ missing: 1, extra: 0 })
  })

  it('delivers a message twice', async () => {
    expect(await forged((packet, number) => (number === 500 ? [packet, packet] : [packet]))).toMatchObject({
      missing: 0,
      extra: 1,
    })
  })

  it('sends packets of another length', async () => {
    const longer: Forgery = (packet) => [
      Buffer.concat([Buffer.from([packet[0]!, packet[1]! + 1]), packet.subarray(2), packet.subarray(0, 1)]),
    ]
    await expect(forged(longer)).rejects.toThrow('bytes was expected')
  })

  it('changes a payload, when it verifies', async () => {
    const changed: Forgery = (packet, number) => {
      const copy = Buffer.from(packet)
      if (number === 500) copy[6]! ^= 1
      return [copy]
    }
    await expect(forged(changed, { verify: true })).rejects.toThrow('message 500 is not as it was sent')
  })

  it('changes the order, when it verifies', async () => {
    let late: Buffer | undefined
    const swapped: Forgery = (packet, number) => {
      if (number === 500) late = Buffer.from(packet)
      return number === 500 ? [] : number === 501 ? [packet, late!] : [packet]
    }
    await expect(forged(swapped, { verify: true })).rejects.toThrow('message 500 was expected and message 501 came')
  })

  it('loses a message to one filter of many', async () => {
    const forge: Forgery = (packet, number) => (number === 21_000 ? [] : [packet])
    const port = await startForger(forge, onTestFinished)
    await load.ask('open', {
      ...jobOf('routing-10k'),
      clients: 1,
      filters: 10,
      filtersOfPacket: 2,
      messages: 3000,
      port,
    })
    await load.ask('run', { step: 'encode' })
    await load.ask('run', { step: 'subscribe' })
    expect(await load.ask('run', { step: 'publish' })).toEqual({ sent: 3000, delivered: 2999 })
    expect(await load.ask('finish')).toEqual({ missing: 1, extra: 0 })
  })

  it('takes too long for a step', async () => {
    const port = await startForger(() => [], onTestFinished)
    const patience = { what: 'the first messages', seconds: 0.3 }
    const opened = load.ask('open', { ...jobOf('routing-10k'), port }, patience)
    await expect(opened).rejects.toThrow('the first messages took longer than 0.3 seconds')
    await load.stop()
    load = await Child.start('./load.js')
  })

  it('ends a connection', async () => {
    const broker = await MqttBroker.start({ port: 0 })
    await load.ask('open', { ...jobOf('a1'), port: broker.port })
    await broker.stop()
    await expect(load.ask('finish')).rejects.toThrow(/closed a connection|DISCONNECT|ECONNRESET/)
  })
})
