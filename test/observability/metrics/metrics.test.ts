import { spawnSync } from 'node:child_process'
import { Registry } from 'prom-client'
import { expect, it, vi } from 'vitest'
import { MqttBroker } from '../../../src/index'
import { type PromClientRegistry, prometheusText, registerMetrics } from '../../../src/observability/metrics/index'
import { MemoryStore } from '../../../src/persistence/memory-store'
import { SimulatedClock } from '../../../src/testing/simulated-clock'
import { connectClient, openClient, startBroker } from '../../support/broker'

/** Each line of a text but its comments: name with labels, and value. */
const valuesIn = (text: string): Record<string, number> =>
  Object.fromEntries(
    text
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
      .map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]),
  )

async function busyBroker(): Promise<MqttBroker> {
  const broker = await startBroker({ authenticate: (_client, { password }) => password === undefined })
  prometheusText(broker)
  const client = await connectClient(broker, { clientId: 'hostile"\n{client}' })
  await client.subscribe('hostile"\n{topic}', 1)
  await client.publish('hostile"\n{topic}', 'x', { qos: 1 })
  await (await openClient(broker)).connect({ username: 'a', password: 'b' })
  return broker
}

it('the text has a help and a type for each metric, and nothing of clients in it', async () => {
  const text = prometheusText(await busyBroker())
  expect(text).not.toContain('hostile')
  const names = [...text.matchAll(/^# HELP (\w+) (.+)\n# TYPE (\w+) (counter|gauge|histogram)$/gm)].map((match) => {
    expect(match[3]).toBe(match[1])
    expect(match[1]!.endsWith('_total')).toBe(match[4] === 'counter')
    return match[1]!
  })
  expect(names).toHaveLength(new Set(names).size)
  for (const name of Object.keys(valuesIn(text))) {
    const metric = name.replace(/\{.*/, '').replace(/_(bucket|sum|count)$/, '')
    expect(names, name).toContain(metric)
    expect(name).toMatch(/^gnatmq_[a-z_]+(\{(qos|reason|code|le)="[\w.+]+"\})?$/)
  }
  expect(text.endsWith('\n')).toBe(true)
})

it('promtool accepts the text', async () => {
  const input = prometheusText(await busyBroker())
  const { error, status, stderr, stdout } = spawnSync('promtool', ['check', 'metrics'], { input, encoding: 'utf8' })
  if (error !== undefined) {
    console.warn(
      `promtool of Debian's package prometheus is not here (${error.message}): the text is not checked by it`,
    )
    return
  }
  expect([status, stdout + stderr]).toEqual([0, ''])
})

it('the registry of prom-client has the same metrics', async () => {
  const broker = await busyBroker()
  const registry = new Registry()
  const remove = registerMetrics(broker, registry as PromClientRegistry)
  const own = valuesIn(prometheusText(broker))
  const theirs = valuesIn(await registry.metrics())
  expect(Object.keys(theirs)).toEqual(Object.keys(own))
  for (const name of Object.keys(own))
    if (!/memory|event_loop/.test(name)) expect([name, theirs[name]]).toEqual([name, own[name]])
  expect(() => registerMetrics(broker, registry as PromClientRegistry)).toThrow(/already been registered/)
  remove()
  expect(await registry.metrics()).toBe('\n')
})

it('a broker that does not run has a text too', () => {
  const values = valuesIn(prometheusText(new MqttBroker()))
  expect(values).toMatchObject({ gnatmq_up: 0, gnatmq_clients: 0 })
  expect(Object.keys(values).some((name) => name.includes('_bucket'))).toBe(false)
})

it('nothing is measured before it is asked for', async () => {
  const broker = await startBroker()
  const client = await connectClient(broker)
  await client.publish('a', 'x', { qos: 1 })
  expect(broker.histograms().messageBytes.count).toBe(0)
  await client.publish('a', 'x', { qos: 1 })
  expect(broker.histograms().messageBytes.count).toBe(1)
})

it('sizes are in their buckets', async () => {
  const broker = await startBroker()
  broker.histograms()
  const client = await connectClient(broker)
  // fixed header, topic of one byte, payload
  const sizes = [5, 15, 16, 17, 64, 65, 4096, 4097, 300_000]
  for (const size of sizes) {
    const header = size > 16_387 ? 4 : size > 129 ? 3 : 2
    await client.publish('a', Buffer.alloc(size - header - 3), { qos: 0 })
  }
  await client.quiet()
  const { bounds, count, counts, sum } = broker.histograms().messageBytes
  expect([count, sum]).toEqual([sizes.length, sizes.reduce((all, size) => all + size)])
  const expected = [...bounds, Number.POSITIVE_INFINITY].map(
    (bound, i) => sizes.filter((size) => size <= bound && size > (bounds[i - 1] ?? 0)).length,
  )
  expect(counts).toEqual(expected)
})

it('commits, hooks and the event loop are measured by the clock of the broker', async () => {
  class LateStore extends MemoryStore {
    done: (() => void)[] = []

    override commit(changes: Parameters<MemoryStore['commit']>[0]): Promise<void> {
      super.commit(changes)
      return new Promise((resolve) => this.done.push(resolve))
    }
  }
  const clock = new SimulatedClock()
  const store = new LateStore()
  let answer: ((verdict: boolean) => void) | undefined
  const broker = await startBroker({
    clock,
    store,
    authorizePublish: () =>
      new Promise((resolve) => {
        answer = resolve
      }),
  })
  broker.histograms()
  const kept = broker.publish({ topic: 'a', payload: 'x', retain: true })
  clock.advance(30)
  for (const done of store.done.splice(0)) done()
  await kept
  const client = await connectClient(broker)
  client.sendPublish('a', 'x')
  await vi.waitFor(() => expect(answer).toBeDefined())
  clock.advance(3000)
  answer!(true)
  await client.quiet()
  const { commitSeconds, hookSeconds, loopDelaySeconds } = broker.histograms()
  const bucketOf = ({ bounds, counts }: typeof hookSeconds): number | undefined =>
    bounds[counts.findIndex((n) => n > 0)]
  expect([commitSeconds.count, commitSeconds.sum, bucketOf(commitSeconds)]).toEqual([1, 0.03, 0.05])
  expect([hookSeconds.count, hookSeconds.sum, bucketOf(hookSeconds)]).toEqual([1, 3, 5])
  // a tick each tenth of a second, none of them late
  expect([loopDelaySeconds.count, loopDelaySeconds.sum]).toEqual([29, 0])
})
