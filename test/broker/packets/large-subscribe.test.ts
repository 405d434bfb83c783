import { describe, expect, it, onTestFinished } from 'vitest'
import { MqttBroker } from '../../../src/mqtt-broker'
import { systemClock } from '../../../src/ports/clock'
import type { Verdict } from '../../../src/ports/hooks'
import { inProcess } from '../../../src/transport/in-process'
import { FailingStore } from '../../persistence/failing-store'
import { InProcessClient } from '../../support/in-process-client'

const COUNT = 20_000
const filters = Array.from({ length: COUNT }, (_, n) => `device/${n}/state`)
const kept = { clientId: 'lamp', clean: false, properties: { sessionExpiryInterval: 3600 } } as const
const patience = { timeout: 20_000, interval: 5 }

async function started() {
  const store = new FailingStore()
  const listener = inProcess()
  let asked = 0
  let onAsked = (_count: number): void => undefined
  const authorizeSubscribe = async (): Promise<Verdict> => {
    onAsked(++asked)
    return true
  }
  // each look at the clock is later than a slice, so that every slice is as short as it can be
  let ahead = 0
  const clock = { ...systemClock, now: () => systemClock.now() + (ahead += 0.1) }
  const broker = await MqttBroker.start({ listeners: [listener], store, authorizeSubscribe, clock })
  onTestFinished(() => broker.stop())
  const connect = (options: Parameters<typeof InProcessClient.connected>[1]) => {
    const client = new InProcessClient(listener)
    client.connect(options)
    return client
  }
  const stored = () => [...store.sessions()].flatMap(({ subscriptions }) => subscriptions.map(({ filter }) => filter))
  return {
    broker,
    connect,
    stored,
    /** Calls `act` when the hook has been asked so often. */
    whenAsked: (count: number, act: () => void) => {
      onAsked = (now) => {
        if (now === count) act()
      }
    },
    /** Resolves when some are granted and others are not. */
    async halfway(): Promise<void> {
      await expect.poll(() => broker.statistics.subscriptions, { timeout: 20_000, interval: 1 }).toBeGreaterThan(0)
      expect(broker.statistics.subscriptions).toBeLessThan(COUNT)
    },
  }
}

const codesOf = ({ received }: InProcessClient): number[] =>
  (received.find(({ cmd }) => cmd === 'suback') as { granted: number[] } | undefined)?.granted ?? []

describe(`a SUBSCRIBE of ${COUNT} filters that a hook thinks about, and a client that is taken over half-way`, () => {
  it('grants nothing while the hook is asked, and all of it once to the client that asks again', async () => {
    const { broker, connect, stored, whenAsked } = await started()
    const before = broker.statistics.memoryBytes
    const first = connect(kept)
    await first.has('connack')
    const second: InProcessClient[] = []
    whenAsked(COUNT / 2, () => second.push(connect(kept)))
    first.send({ cmd: 'subscribe', messageId: 1, subscriptions: filters.map((topic) => ({ topic, qos: 1 })) })
    await first.has('disconnect')
    await second[0]!.has('connack')
    expect(broker.statistics.subscriptions).toBe(0)
    expect(codesOf(first)).toEqual([])
    await second[0]!.subscribe(1, ...filters)
    expect(codesOf(second[0]!)).toEqual(new Array(COUNT).fill(1))
    expect(broker.statistics.subscriptions).toBe(COUNT)
    expect(stored().sort()).toEqual([...filters].sort())
    await expectNothingLeft(broker, connect, before)
  }, 60_000)

  it('keeps what was granted before, and grants nothing twice', async () => {
    const { broker, connect, halfway, stored } = await started()
    const before = broker.statistics.memoryBytes
    const first = connect(kept)
    await first.has('connack')
    first.send({ cmd: 'subscribe', messageId: 1, subscriptions: filters.map((topic) => ({ topic, qos: 1 })) })
    await halfway()
    const second = connect(kept)
    await second.has('connack')
    expect(codesOf(first)).toEqual([])
    const granted = broker.statistics.subscriptions
    expect(granted).toBeLessThan(COUNT)
    await expect.poll(() => stored().length, patience).toBe(granted)
    await second.subscribe(1, ...filters)
    expect(codesOf(second)).toEqual(new Array(COUNT).fill(1))
    expect(broker.statistics.subscriptions).toBe(COUNT)
    expect(stored().sort()).toEqual([...filters].sort())
    await expectNothingLeft(broker, connect, before)
  }, 60_000)

  it('leaves nothing of it to a session that begins anew', async () => {
    const { broker, connect, halfway, stored } = await started()
    const before = broker.statistics.memoryBytes
    const first = connect(kept)
    await first.has('connack')
    first.send({ cmd: 'subscribe', messageId: 1, subscriptions: filters.map((topic) => ({ topic, qos: 1 })) })
    await halfway()
    const second = connect({ ...kept, clean: true })
    await second.has('connack')
    await second.subscribe(1, 'own')
    await expect.poll(() => broker.statistics.subscriptions, patience).toBe(1)
    expect(stored()).toEqual(['own'])
    await expectNothingLeft(broker, connect, before)
  }, 60_000)
})

/** The session ends, and the budgets are as they were. */
async function expectNothingLeft(
  broker: MqttBroker,
  connect: (options: Parameters<typeof InProcessClient.connected>[1]) => InProcessClient,
  before: number,
): Promise<void> {
  const last = connect({ clientId: 'lamp', clean: true })
  await last.has('connack')
  last.send({ cmd: 'disconnect' })
  await expect.poll(() => broker.statistics.sessions, patience).toBe(0)
  await expect.poll(() => broker.statistics.subscriptions, patience).toBe(0)
  await expect.poll(() => broker.statistics.memoryBytes, patience).toBe(before)
}
