import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest'
import { Child } from '../../bench/children'
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

const jobOf = (id: string) => scenarios.find((scenario) => scenario.id === id)!.job

/** Runs a job until `enough` messages were delivered. */
async function play(job: Readonly<Record<string, unknown>>, enough: number) {
  await load.ask('open', job)
  while ((await load.ask('snapshot')).delivered <= enough);
  return load.ask('finish')
}

async function countingBroker() {
  const seen = { published: 0 }
  const authorizePublish = () => {
    seen.published++
    return true
  }
  const broker = await MqttBroker.start({ port: 0, authorizePublish })
  onTestFinished(() => broker.stop())
  return { seen, port: broker.port }
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

  it.each(['a1', 'b1', 'd2', 'e', 'a2-user', 'd1-alias', 'unique'])(
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
      Buffer.concat([Buffer.from([packet[0], packet[1] + 1]), packet.subarray(2), packet.subarray(0, 1)]),
    ]
    await expect(forged(longer)).rejects.toThrow('bytes was expected')
  })

  it('changes a payload, when it verifies', async () => {
    const changed: Forgery = (packet, number) => {
      const copy = Buffer.from(packet)
      if (number === 500) copy[6] ^= 1
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

  it('ends a connection', async () => {
    const broker = await MqttBroker.start({ port: 0 })
    await load.ask('open', { ...jobOf('a1'), port: broker.port })
    await broker.stop()
    await expect(load.ask('finish')).rejects.toThrow(/closed a connection|DISCONNECT|ECONNRESET/)
  })
})
