import { expect, it } from 'vitest'
import { SimulatedClock } from '../../../src/testing/simulated-clock'
import { connectClient, startBroker } from '../../support/broker'

it('what was sent before it expired is sent again after a restart, and what was not is gone', async () => {
  const clock = new SimulatedClock()
  const broker = await startBroker({ clock })
  const session = { clientId: 'kept', clean: false }
  const first = await connectClient(broker, {
    ...{ protocolVersion: 5, ...session },
    properties: { sessionExpiryInterval: 3600, receiveMaximum: 1 },
  })
  await first.subscribe('a', 2)
  const publisher = await connectClient(broker, { protocolVersion: 5, clientId: 'publisher' })
  const properties = { messageExpiryInterval: 10 }
  await publisher.publish('a', 'sent', { qos: 2, properties })
  await publisher.publish('a', 'queued', { qos: 2, properties })
  const { messageId } = (await first.nextMessage()).packet
  await broker.stop()
  clock.advance(60_000)
  await broker.start()
  const second = await connectClient(broker, session)
  const { text, dup, packet } = await second.nextMessage()
  expect({ text, dup, messageId: packet.messageId }).toEqual({ text: 'sent', dup: true, messageId })
  await second.acknowledge(packet)
  expect(await second.quiet()).toEqual([])
})
