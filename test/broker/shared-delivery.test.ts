import { expect, it } from 'vitest'
import { SimulatedClock } from '../../src/testing/simulated-clock'
import { clientGone, connectClient, startBroker } from '../support/broker'

it('a member that goes offline hands on what it has not acknowledged, but nothing that has expired', async () => {
  const clock = new SimulatedClock()
  const broker = await startBroker({ clock })
  const session = { protocolVersion: 5 as const, clean: false }
  const properties = { sessionExpiryInterval: 3600, receiveMaximum: 1 }
  const first = await connectClient(broker, { ...session, clientId: 'first', properties })
  await first.subscribe('$share/g/a', 1)
  const publisher = await connectClient(broker, { protocolVersion: 5, clientId: 'publisher' })
  const expiring = { messageExpiryInterval: 10 }
  await publisher.publish('a', 'sent and expired', { qos: 1, properties: expiring })
  await publisher.publish('a', 'queued and expired', { qos: 1, properties: expiring })
  await publisher.publish('a', 'queued', { qos: 1 })
  expect((await first.nextMessage()).text).toBe('sent and expired')
  clock.advance(60_000)
  const second = await connectClient(broker, { ...session, clientId: 'second' })
  await second.subscribe('$share/g/a', 1)
  first.destroy()
  await clientGone(broker, 'first')
  expect((await second.nextMessage()).text).toBe('queued')
  expect(await second.quiet()).toEqual([])
  const back = await connectClient(broker, { ...session, clientId: 'first', properties })
  const { text, dup } = await back.nextMessage()
  expect({ text, dup }).toEqual({ text: 'sent and expired', dup: true })
})

it('a message does not go to a member that is offline and would not keep it', async () => {
  const broker = await startBroker()
  const session = { protocolVersion: 5 as const, clean: false, properties: { sessionExpiryInterval: 3600 } }
  for (const [clientId, qos] of [
    ['keeps', 1],
    ['drops', 0],
  ] as const) {
    const member = await connectClient(broker, { ...session, clientId })
    await member.subscribe('$share/g/a', qos)
    await member.disconnect()
    await clientGone(broker, clientId)
  }
  const publisher = await connectClient(broker, { protocolVersion: 5, clientId: 'publisher' })
  for (const text of ['1', '2', '3']) await publisher.publish('a', text, { qos: 1 })
  // and what a member has not acknowledged does not go there either, when it goes offline
  for (let round = 0; round < 2; round++) {
    const back = await connectClient(broker, { ...session, clientId: 'keeps' })
    const texts: string[] = []
    for (let n = 0; n < 3; n++) texts.push((await back.nextMessage()).text)
    expect(texts).toEqual(['1', '2', '3'])
    back.destroy()
    await clientGone(broker, 'keeps')
  }
})
