import { expect, it } from 'vitest'
import type { Verdict } from '../../../src/ports/hooks'
import { inProcess } from '../../../src/transport/in-process'
import { startBroker } from '../../support/broker'
import { InProcessClient } from '../../support/in-process-client'

const QUOTA_EXCEEDED = 0x97

it('messages that wait for authorizePublish count in the memory, and one that finds no room ends its connection', async () => {
  const answers: ((verdict: Verdict) => void)[] = []
  const authorizePublish = (): Promise<Verdict> => new Promise((resolve) => answers.push(resolve))
  const errors: string[] = []
  const listener = inProcess()
  const limits = { maximumTotalIncomingBytes: 1_000_000 }
  const broker = await startBroker({ authorizePublish, limits, listeners: [listener] })
  broker.on('clientError', ({ code }) => errors.push(code))
  const ids = ['a', 'b', 'c', 'd']
  const clients = await Promise.all(ids.map((clientId) => InProcessClient.connected(listener, { clientId })))
  const before = broker.statistics.memoryBytes
  for (const client of clients) client.publish('t', 1, 1, { payload: 'x'.repeat(300_000) })
  await clients[3]!.has('disconnect')
  expect(clients[3]!.received.at(-1)).toMatchObject({ reasonCode: QUOTA_EXCEEDED })
  expect(errors).toEqual(['GNATMQ_QUOTA_EXCEEDED'])
  expect(answers).toHaveLength(4)
  expect(broker.statistics.memoryBytes - before).toBeGreaterThan(900_000)
  for (const answer of answers) answer(true)
  for (const client of clients.slice(0, 3)) await client.has('puback')
  expect(clients[3]!.history).toEqual(['connack', 'disconnect'])
  // what is left of it is a route
  expect(broker.statistics.memoryBytes - before).toBeLessThan(2000)
})
