import { expect, it } from 'vitest'
import { connectClient, startBroker } from '../support/broker'

it.each(['a/b', 'a/+'])(
  'a retained message does not come back to its publisher by a No Local subscription: %s',
  async (filter) => {
    const broker = await startBroker()
    const client = await connectClient(broker, { protocolVersion: 5, clientId: 'publisher' })
    await client.publish('a/b', 'own', { qos: 1, retain: true })
    await client.subscribe(filter, 1, { nl: true })
    expect(await client.quiet()).toEqual([])
    await client.subscribe(filter, 1)
    expect((await client.nextMessage()).text).toBe('own')
    const other = await connectClient(broker, { protocolVersion: 5, clientId: 'other' })
    await other.subscribe(filter, 1, { nl: true })
    expect((await other.nextMessage()).text).toBe('own')
  },
)
