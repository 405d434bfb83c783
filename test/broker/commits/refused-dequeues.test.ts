import { expect, it } from 'vitest'
import { SimulatedClock } from '../../../src/testing/simulated-clock'
import { FailingStore } from '../../persistence/failing-store'
import { connectClient, startBroker } from '../../support/broker'

it('a dequeue that the store never takes fails nobody else, and is tried seldom', async () => {
  const store = new FailingStore()
  const clock = new SimulatedClock()
  const broker = await startBroker({ store, clock })
  const client = (clientId: string) =>
    connectClient(broker, {
      clientId,
      clean: false,
      protocolVersion: 5,
      properties: { sessionExpiryInterval: 3600 },
    })
  const bad = await client('bad')
  await bad.subscribe('bad', 1)
  const good = await client('good')
  await good.subscribe('good', 1)
  await broker.publish({ topic: 'bad', payload: 'x', qos: 1 })
  store.failure = 'rejects'
  store.concerns = (changes) => changes.some((change) => change.type === 'dequeue' && change.clientId === 'bad')
  await bad.acknowledge(await bad.next('publish'))
  await expect.poll(() => store.failures).toBe(1)
  for (const payload of ['1', '2', '3']) {
    await broker.publish({ topic: 'good', payload, qos: 1 })
    const { text, packet } = await good.nextMessage()
    expect(text).toBe(payload)
    await good.acknowledge(packet)
  }
  expect(store.failures).toBe(1)
  for (let second = 0; second < 100; second++) {
    clock.advance(1000)
    await new Promise((resolve) => setImmediate(resolve))
  }
  expect(store.failures).toBeLessThan(10)
  store.failure = undefined
  clock.advance(61_000)
  await expect.poll(() => store.queue('bad', 0, 9)).toEqual([])
})
