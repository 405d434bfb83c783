import { expect, it } from 'vitest'
import { clientGone, connectClient, startBroker } from '../support/broker'

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
