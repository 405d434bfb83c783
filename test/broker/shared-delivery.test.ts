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
