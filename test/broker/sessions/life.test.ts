import { expect, it } from 'vitest'
import type { Client } from '../../../src/ports/client'
import { NEVER_EXPIRES } from '../../../src/session/session'
import { SimulatedClock } from '../../../src/testing/simulated-clock'
import { clientGone, connectClient, openClient, startBroker } from '../../support/broker'

it('a session that is resumed with Session Expiry Interval 0 ends with its connection, also in the store', async () => {
  const broker = await startBroker()
  const options = { protocolVersion: 5 as const, clientId: 'kept', clean: false }
  const first = await connectClient(broker, { ...options, properties: { sessionExpiryInterval: 3600 } })
  await first.subscribe('a', 1)
  await first.disconnect()
  const second = await connectClient(broker, options)
  expect(second.received[0]).toMatchObject({ cmd: 'connack', sessionPresent: true })
  await second.disconnect()
  await clientGone(broker, 'kept')
  await broker.stop()
  await broker.start()
  const third = await connectClient(broker, options)
  expect(third.received[0]).toMatchObject({ cmd: 'connack', sessionPresent: false })
})

it('a session that is no longer to expire does not, though its client had to go before CONNACK', async () => {
  const clock = new SimulatedClock()
  let isWelcome = true
  const authorizeSubscribe = (client: Client): boolean => {
    if (!isWelcome) client.disconnect()
    return true
  }
  const broker = await startBroker({ clock, authorizeSubscribe })
  const options = { protocolVersion: 5 as const, clientId: 'kept', clean: false }
  const first = await connectClient(broker, { ...options, properties: { sessionExpiryInterval: 60 } })
  await first.subscribe('a', 1)
  await first.disconnect()
  await clientGone(broker, 'kept')
  isWelcome = false
  const second = await openClient(broker)
  second.sendConnect({ ...options, properties: { sessionExpiryInterval: NEVER_EXPIRES } })
  await second.closed()
  isWelcome = true
  clock.advance(100_000)
  const third = await connectClient(broker, options)
  expect(third.received[0]).toMatchObject({ cmd: 'connack', sessionPresent: true })
})
