import { describe, expect, it } from 'vitest'
import { SimulatedClock } from '../../../src/testing/simulated-clock'
import { clientGone, connectClient, openClient, startBroker } from '../../support/broker'

describe('MQTT 3.1.1 section 3.1.2.4, CleanSession', () => {
  it('[MQTT-3.1.2-4] a session that is kept goes on with its subscriptions', async () => {
    const broker = await startBroker()
    const first = await connectClient(broker, { clientId: 'kept', clean: false })
    await first.subscribe(['a', 'b/+'], 1)
    await first.disconnect()
    const second = await openClient(broker)
    expect(await second.connect({ clientId: 'kept', clean: false })).toMatchObject({ sessionPresent: true })
    await second.publish('a', '1', { qos: 1 })
    await second.publish('b/c', '2', { qos: 1 })
    expect(await second.nextMessage()).toMatchObject({ text: '1', qos: 1 })
    expect(await second.nextMessage()).toMatchObject({ text: '2', qos: 1 })
  })

  it('[MQTT-3.1.2-4] a session is made if there is none, and kept after the connection breaks', async () => {
    const clock = new SimulatedClock()
    const broker = await startBroker({ clock })
    const first = await openClient(broker)
    expect(await first.connect({ clientId: 'made', clean: false })).toMatchObject({
      returnCode: 0,
      sessionPresent: false,
    })
    first.destroy()
    await clientGone(broker, 'made')
    clock.advance(7 * 86_400_000)
    const second = await openClient(broker)
    expect(await second.connect({ clientId: 'made', clean: false })).toMatchObject({ sessionPresent: true })
  })

  it('[MQTT-3.1.2-5] a kept session collects QoS 1 and 2 messages while its client is away', async () => {
    const broker = await startBroker()
    const first = await connectClient(broker, { clientId: 'away', clean: false })
    await first.subscribe('a/#', 2)
    await first.subscribe('ended', 2)
    await first.unsubscribe('ended')
    await first.disconnect()
    const publisher = await connectClient(broker)
    await publisher.publish('a/1', 'one', { qos: 1 })
    await publisher.publish('other', 'not subscribed', { qos: 1 })
    await publisher.publish('ended', 'not subscribed any more', { qos: 1 })
    await publisher.publish('a/2', 'two', { qos: 2 })
    const second = await connectClient(broker, { clientId: 'away', clean: false })
    expect(await second.nextMessage()).toMatchObject({ topic: 'a/1', text: 'one', qos: 1, dup: false })
    expect(await second.nextMessage()).toMatchObject({ topic: 'a/2', text: 'two', qos: 2, dup: false })
    expect(await second.quiet()).toEqual([])
  })

  it('[MQTT-3.1.2-5] a session whose connection broke collects them too', async () => {
    const broker = await startBroker()
    const first = await connectClient(broker, { clientId: 'broken', clean: false })
    await first.subscribe('a', 1)
    first.destroy()
    await clientGone(broker, 'broken')
    const publisher = await connectClient(broker)
    await publisher.publish('a', 'x', { qos: 1 })
    const second = await connectClient(broker, { clientId: 'broken', clean: false })
    expect(await second.nextMessage()).toMatchObject({ text: 'x' })
  })

  it('[MQTT-3.1.2-6] CleanSession discards subscriptions and messages of the old session', async () => {
    const broker = await startBroker()
    const first = await connectClient(broker, { clientId: 'c', clean: false })
    await first.subscribe('a', 1)
    await first.disconnect()
    const publisher = await connectClient(broker)
    await publisher.publish('a', 'waiting', { qos: 1 })
    const clean = await connectClient(broker, { clientId: 'c', clean: true })
    await publisher.publish('a', 'later', { qos: 1 })
    expect(await clean.quiet()).toEqual([])
  })

  it.each(['DISCONNECT', 'a broken connection'])(
    '[MQTT-3.1.2-6] a clean session leaves nothing behind after %s',
    async (end) => {
      const broker = await startBroker()
      const clean = await connectClient(broker, { clientId: 'c', clean: true })
      await clean.subscribe('a', 1)
      await clean.publish('a', 'unacknowledged', { qos: 1 })
      await clean.next('publish')
      clean.sendPublish('b', 'held', { qos: 2, messageId: 77 })
      await clean.next('pubrec')
      if (end === 'DISCONNECT') await clean.disconnect()
      else clean.destroy()
      await clientGone(broker, 'c')
      const watcher = await connectClient(broker)
      await watcher.subscribe('b', 2)
      await watcher.publish('a', 'while away', { qos: 1 })
      const next = await openClient(broker)
      expect(await next.connect({ clientId: 'c', clean: false })).toMatchObject({ sessionPresent: false })
      expect(await next.quiet()).toEqual([])
      // the identifier that the old session held is new to this one
      await next.publish('b', 'new', { qos: 2, messageId: 77 })
      expect(await watcher.nextMessage()).toMatchObject({ text: 'new' })
    },
  )

  it('[MQTT-3.1.2-7] retained messages outlive the session of their publisher', async () => {
    const broker = await startBroker()
    const publisher = await connectClient(broker, { clientId: 'p', clean: true })
    await publisher.publish('state', 'kept', { qos: 1, retain: true })
    await publisher.disconnect()
    const again = await connectClient(broker, { clientId: 'p', clean: true })
    await again.subscribe('state', 1)
    expect(await again.nextMessage()).toMatchObject({ text: 'kept', retain: true })
  })
})
