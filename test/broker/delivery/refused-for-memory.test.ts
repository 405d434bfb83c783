import { expect, it } from 'vitest'
import { connectClient, startBroker } from '../../support/broker'

const memory = 16 * 1024 * 1024

it('refuses what has no room, counts it, and tells of it', async () => {
  const broker = await startBroker({ limits: { memory } })
  const errors: string[] = []
  broker.on('clientError', ({ code }) => void errors.push(code))
  const client = await connectClient(broker, { protocolVersion: 5 })
  const filling = 'x'.repeat(60_000)
  const codes: (number | undefined)[] = []
  for (let n = 0; n < 40; n++) codes.push((await client.subscribe(`${n}/${filling}`)).granted[0] as number)
  expect([codes[0], codes.at(-1)]).toEqual([0, 0x97])
  const retained: (number | undefined)[] = []
  for (let n = 0; n < 40; n++) {
    const puback = await client.publish(`r/${n}`, Buffer.alloc(150_000), { qos: 1, retain: true })
    retained.push(puback!.reasonCode)
  }
  expect(retained.slice(-1)).toEqual([0x97])
  const { statistics } = broker
  expect(statistics.refusedSubscriptions).toBe(codes.filter((code) => code === 0x97).length)
  expect(statistics.refusedRetainedMessages).toBe(retained.filter((code) => code === 0x97).length)
  expect(statistics.retainedMessages).toBe(40 - statistics.refusedRetainedMessages)
  expect(errors.length).toBe(statistics.refusedSubscriptions + statistics.refusedRetainedMessages)
  expect(statistics.memoryBytes).toBeLessThan(memory)
})

it('refuses sessions and Wills that have no room, and lets those go on that are there', async () => {
  const broker = await startBroker({ limits: { memory } })
  const will = { topic: 'w', payload: Buffer.alloc(40_000), qos: 1, retain: false } as const
  const codes: (number | undefined)[] = []
  const first = await connectClient(broker, { protocolVersion: 5, clientId: 'first' })
  for (let n = 0; n < 12; n++) {
    const client = await connectClient(broker, { protocolVersion: 5, clientId: `will ${n}`, will })
    codes.push((client.received[0] as { reasonCode?: number }).reasonCode)
  }
  expect([codes[0], codes.at(-1)]).toEqual([0, 0x97])
  expect(broker.statistics.refusedConnections.GNATMQ_QUOTA_EXCEEDED).toBe(codes.filter((code) => code === 0x97).length)
  await first.quiet()
  const late = await connectClient(broker, { clientId: 'without a Will' })
  expect(late.received).toHaveLength(1)
})

it('leaves room for the sessions of other users, whatever Client Identifiers one of them gives', async () => {
  const broker = await startBroker({ limits: { memory }, authenticate: () => true })
  const connect = async (username: string, n: number): Promise<number | undefined> => {
    const options = { username, clientId: `${username} ${n} ${'x'.repeat(3000)}`, clean: false } as const
    const properties = { sessionExpiryInterval: 3600 }
    const client = await connectClient(broker, { ...options, properties, protocolVersion: 5 })
    client.destroy()
    return (client.received[0] as { reasonCode?: number }).reasonCode
  }
  const codes: (number | undefined)[] = []
  while (codes.at(-1) !== 0x97 && codes.length < 400) codes.push(await connect('greedy', codes.length))
  expect(codes.at(-1)).toBe(0x97)
  const others: (number | undefined)[] = []
  for (let n = 0; n < 20; n++) others.push(await connect('honest', n))
  expect(others).toEqual(new Array(20).fill(0))
  expect(await connect('greedy', 0)).toBe(0)
  expect(await connect('greedy', 1000)).toBe(0x97)
})
