import { expect, it } from 'vitest'
import { clientGone, connectClient, startBroker } from '../../support/broker'

it('a client that authorizePublish ends leaves nothing queued for itself, though it is allowed to publish', async () => {
  const broker = await startBroker({
    authorizePublish: (client) => {
      if ('disconnect' in client) client.disconnect()
      return true
    },
  })
  const client = await connectClient(broker, { clientId: 'echo' })
  await client.subscribe('a', 1)
  client.send({ cmd: 'publish', topic: 'a', payload: 'x', qos: 1, messageId: 9, dup: false, retain: false })
  await clientGone(broker, 'echo')
  expect(broker.statistics).toMatchObject({ sessions: 0, queuedMessages: 0 })
})
