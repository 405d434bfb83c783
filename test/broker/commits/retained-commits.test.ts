import { describe, expect, it } from 'vitest'
import { RetainedCommits, RetainedStep } from '../../../src/broker/commits/retained-commits'
import type { MqttBroker } from '../../../src/mqtt-broker'
import type { Change } from '../../../src/ports/store'
import { createMessage } from '../../../src/protocol/message'
import { RetainedMessages } from '../../../src/routing/retained-messages'
import { FailingStore, type Failure } from '../../persistence/failing-store'
import { connectClient, startBroker } from '../../support/broker'

const QUOTA_EXCEEDED = 0x97

async function started() {
  const store = new FailingStore()
  const broker = await startBroker({ store })
  return { broker, store }
}

/** What a new subscriber is told to be retained of `r`. */
async function retained(broker: MqttBroker): Promise<string[]> {
  const reader = await connectClient(broker)
  await reader.subscribe('r', 1)
  const texts = (await reader.quiet()).flatMap((packet) =>
    packet.cmd === 'publish' ? [packet.payload.toString()] : [],
  )
  await reader.disconnect()
  return texts
}

/** Publishes and gives the code of the error, or undefined. */
function publish(broker: MqttBroker, payload: string): Promise<string | undefined> {
  return broker.publish({ topic: 'r', payload, qos: 1, retain: true }).then(
    () => undefined,
    (error: { code: string }) => error.code,
  )
}

const refused = 'GNATMQ_STORE_FAILED'

/** Concerns the commit that retains this payload; an empty one is a clear. */
const of =
  (...payloads: string[]) =>
  (changes: readonly Change[]): boolean =>
    changes.some(
      (change) =>
        (change.type === 'retain' && payloads.includes(Buffer.from(change.message.payload).toString())) ||
        (change.type === 'clear' && payloads.includes('')),
    )

describe.each<Failure>(['throws', 'rejects', 'rejects later'])(
  'a retained message that the store %s over',
  (failure) => {
    it.each([
      ['gives way to the one before it', 'old', ['old']],
      ['leaves nothing where there was nothing', undefined, []],
    ] as const)('%s', async (_what, before, expected) => {
      const { broker, store } = await started()
      if (before !== undefined) await publish(broker, before)
      const publisher = await connectClient(broker, { protocolVersion: 5 })
      store.failure = failure
      const answer = await publisher.publish('r', 'new', { qos: 1, retain: true })
      expect(answer).toMatchObject({ reasonCode: QUOTA_EXCEEDED })
      const bytes = before === undefined ? 0 : before.length + 'r'.length
      expect(broker.statistics).toMatchObject({ retainedMessages: expected.length, retainedBytes: bytes })
      expect(await retained(broker)).toEqual(expected)
      store.failure = undefined
      expect(await publish(broker, 'newer')).toBeUndefined()
      expect(await retained(broker)).toEqual(['newer'])
    })

    it('stays when it is its removal that is refused', async () => {
      const { broker, store } = await started()
      await publish(broker, 'old')
      store.failure = failure
      expect(await publish(broker, '')).toBe(refused)
      store.failure = undefined
      expect(await retained(broker)).toEqual(['old'])
      await broker.stop()
      await broker.start()
      expect(await retained(broker)).toEqual(['old'])
    })
  },
)

describe('retained messages of one topic whose commits are open at once', () => {
  it.each<[string[], string[], string[]]>([
    [['1', '2'], ['1'], ['2']],
    [['1', '2'], ['2'], ['1']],
    [['1', '2'], ['1', '2'], ['0']],
    [['1', '2', '3'], ['2'], ['3']],
    [['1', '2', '3'], ['2', '3'], ['1']],
    [['1', '2', '3'], ['1', '3'], ['2']],
    [['', '2'], ['2'], []],
    [['', '2'], ['', '2'], ['0']],
    [['1', ''], ['1', ''], ['0']],
    [['1', ''], [''], ['1']],
    [['1', ''], ['1'], []],
  ])('%j of which %j are refused leave %j, in memory as in the store', async (payloads, failing, expected) => {
    const { broker, store } = await started()
    await publish(broker, '0')
    store.wait()
    store.failure = 'rejects later'
    store.concerns = of(...failing)
    const answers = payloads.map((payload) => publish(broker, payload))
    store.failure = undefined
    store.goOn()
    expect(await Promise.all(answers)).toEqual(
      payloads.map((payload) => (failing.includes(payload) ? refused : undefined)),
    )
    expect(await retained(broker)).toEqual(expected)
    await broker.stop()
    await broker.start()
    expect(await retained(broker)).toEqual(expected)
  })

  it('are rolled back also when the store refuses a later one first', async () => {
    const { broker, store } = await started()
    await publish(broker, '0')
    store.wait()
    store.concerns = of('1', '2')
    store.failure = 'rejects later'
    const first = publish(broker, '1')
    store.failure = 'throws'
    expect(await publish(broker, '2')).toBe(refused)
    expect(await retained(broker)).toEqual(['1'])
    store.failure = undefined
    store.goOn()
    expect(await first).toBe(refused)
    expect(await retained(broker)).toEqual(['0'])
  })
})

describe('a hundred thousand open steps of one topic', () => {
  const STEPS = 100_000

  /** CPU time in milliseconds: others may use the machine. */
  function costOf(act: () => void): number {
    const before = process.cpuUsage()
    act()
    const { user, system } = process.cpuUsage(before)
    return (user + system) / 1000
  }

  function opened() {
    const retained = new RetainedMessages()
    const commits = new RetainedCommits(retained)
    const steps: RetainedStep[] = []
    for (let n = 0; n < STEPS; n++) {
      const message = createMessage('r', Buffer.from(String(n)), undefined, 1, true, 0, undefined)
      steps.push(new RetainedStep('r', retained.get('r'), message))
      retained.set(message)
    }
    const payload = () => retained.get('r')?.payload.toString()
    return { commits, steps, payload }
  }

  it.each([
    ['kept in their order', 'keep', false, String(STEPS - 1)],
    ['refused in their order', 'refuse', false, undefined],
    ['refused from the last to the first', 'refuse', true, undefined],
  ] as const)('are %s in time that grows with their number alone', (_what, verb, backwards, left) => {
    const { commits, steps, payload } = opened()
    const cost = costOf(() => {
      for (const step of steps) commits.begin(step)
      if (backwards) steps.reverse()
      for (const step of steps) commits[verb](step)
    })
    expect(payload()).toBe(left)
    expect(cost).toBeLessThan(1500)
  })
})
