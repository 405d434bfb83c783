import { describe, expect, it } from 'vitest'
import { packet, string } from '../../protocol/packet-bytes'
import { clientGone, connectClient, startBroker } from '../../support/broker'

const kept = { clientId: 'kept', clean: false }

describe('MQTT 3.1.1 section 4.3.1, QoS 0', () => {
  it.each([0, 1, 2] as const)(
    '[MQTT-4.3.1-1] a message of QoS %i to a subscription of QoS 0 has QoS 0 and DUP 0',
    async (qos) => {
      const broker = await startBroker()
      const client = await connectClient(broker)
      await client.subscribe('a', 0)
      const publisher = await connectClient(broker)
      await publisher.publish('a', 'x', { qos, dup: qos > 0 })
      await publisher.quiet()
      await client.next('publish')
      expect(client.receivedBytes.subarray(-6)).toEqual(packet(0x30, string('a'), Buffer.from('x')))
    },
  )

  it('[MQTT-4.3.1-1] nothing of QoS 0 is sent twice', async () => {
    const broker = await startBroker()
    const first = await connectClient(broker, kept)
    await first.subscribe('a', 0)
    first.sendPublish('a', 'x')
    await first.nextMessage()
    await first.disconnect()
    const second = await connectClient(broker, kept)
    expect(await second.quiet()).toEqual([])
  })
})

describe('MQTT 3.1.1 section 4.3.2, QoS 1', () => {
  it('[MQTT-4.3.2-1] each message has an identifier of its own and DUP 0', async () => {
    const client = await connectClient(await startBroker())
    await client.subscribe('a', 1)
    for (let i = 0; i < 20; i++) await client.publish('a', String(i), { qos: 1 })
    const messages = (await client.quiet()).filter((message) => message.cmd === 'publish')
    expect(new Set(messages.map(({ messageId }) => messageId)).size).toBe(20)
    for (const message of messages) expect(message).toMatchObject({ qos: 1, dup: false })
  })

  it('[MQTT-4.3.2-1] it is unacknowledged until its PUBACK arrives, and gone then', async () => {
    const broker = await startBroker()
    const first = await connectClient(broker, kept)
    await first.subscribe('a', 1)
    await first.publish('a', 'x', { qos: 1 })
    const { messageId } = await first.next('publish')
    first.send({ cmd: 'puback', messageId: (messageId! % 65_535) + 1 })
    first.destroy()
    await clientGone(broker, 'kept')
    const second = await connectClient(broker, kept)
    expect(await second.next('publish')).toMatchObject({ messageId })
    second.send({ cmd: 'puback', messageId: messageId! })
    await second.quiet()
    await second.disconnect()
    const third = await connectClient(broker, kept)
    expect(await third.quiet()).toEqual([])
  })

  it.each([false, true])('[MQTT-4.3.2-2] after PUBACK the same identifier is a new message (DUP %s)', async (dup) => {
    const broker = await startBroker()
    const watcher = await connectClient(broker)
    await watcher.subscribe('a', 0)
    const client = await connectClient(broker)
    for (const text of ['one', 'two', 'three']) {
      client.sendPublish('a', text, { qos: 1, messageId: 5, dup })
      expect(await client.next()).toMatchObject({ cmd: 'puback', messageId: 5 })
      expect(await watcher.nextMessage()).toMatchObject({ text })
    }
  })

  it('[MQTT-4.3.2-2] PUBACK comes when the message is where a subscriber that is away will find it', async () => {
    const broker = await startBroker()
    const away = await connectClient(broker, kept)
    await away.subscribe('a', 1)
    await away.disconnect()
    const client = await connectClient(broker)
    expect(await client.publish('a', 'x', { qos: 1 })).toMatchObject({ cmd: 'puback' })
    client.destroy()
    const back = await connectClient(broker, kept)
    expect(await back.nextMessage()).toMatchObject({ text: 'x' })
  })
})

describe('MQTT 3.1.1 section 4.3.3, QoS 2', () => {
  it('[MQTT-4.3.3-1] each message has an identifier of its own and DUP 0', async () => {
    const client = await connectClient(await startBroker())
    await client.subscribe('a', 2)
    for (let i = 0; i < 20; i++) await client.publish('a', String(i), { qos: 2 })
    const messages = (await client.quiet()).filter((message) => message.cmd === 'publish')
    expect(new Set(messages.map(({ messageId }) => messageId)).size).toBe(20)
    for (const message of messages) expect(message).toMatchObject({ qos: 2, dup: false })
  })

  it('[MQTT-4.3.3-1] PUBREC is answered with PUBREL, each time, and PUBLISH is not sent any more', async () => {
    const broker = await startBroker()
    const first = await connectClient(broker, kept)
    await first.subscribe('a', 2)
    await first.publish('a', 'x', { qos: 2 })
    const messageId = (await first.next('publish')).messageId!
    await first.disconnect()
    const second = await connectClient(broker, kept)
    expect(await second.next()).toMatchObject({ cmd: 'publish', messageId, dup: true })
    second.send({ cmd: 'pubrec', messageId })
    expect(await second.next()).toMatchObject({ cmd: 'pubrel', messageId })
    await second.disconnect()
    for (let i = 0; i < 2; i++) {
      const again = await connectClient(broker, kept)
      expect(await again.next()).toMatchObject({ cmd: 'pubrel', messageId })
      again.send({ cmd: 'pubrec', messageId })
      expect(await again.next()).toMatchObject({ cmd: 'pubrel', messageId })
      await again.disconnect()
    }
    const last = await connectClient(broker, kept)
    await last.next('pubrel')
    last.send({ cmd: 'pubcomp', messageId })
    await last.quiet()
    await last.disconnect()
    expect(await (await connectClient(broker, kept)).quiet()).toEqual([])
  })

  it('[MQTT-4.3.3-1] an identifier is not used again before its PUBCOMP', async () => {
    const client = await connectClient(await startBroker({ limits: { maximumInflight: 3 } }))
    await client.subscribe('a', 2)
    await client.publish('a', 'kept', { qos: 2 })
    const kept = (await client.next('publish')).messageId!
    client.send({ cmd: 'pubrec', messageId: kept })
    await client.next('pubrel')
    for (let i = 0; i < 100; i++) {
      await client.publish('a', String(i), { qos: 2 })
      const message = await client.next('publish')
      expect(message.messageId).not.toBe(kept)
      await client.acknowledge(message)
    }
  })

  it('[MQTT-4.3.3-2] until PUBREL a repetition gets PUBREC and is not delivered', async () => {
    const broker = await startBroker()
    const watcher = await connectClient(broker)
    await watcher.subscribe('a', 0)
    const client = await connectClient(broker)
    client.sendPublish('a', 'x', { qos: 2, messageId: 5 })
    expect(await client.next()).toMatchObject({ cmd: 'pubrec', messageId: 5 })
    for (const dup of [true, false]) {
      client.sendPublish('a', 'x', { qos: 2, messageId: 5, dup })
      expect(await client.next()).toMatchObject({ cmd: 'pubrec', messageId: 5 })
    }
    await client.release(5)
    expect(await watcher.nextMessage()).toMatchObject({ text: 'x' })
    expect(await watcher.quiet()).toEqual([])
  })

  it('[MQTT-4.3.3-2] a repetition in a new connection of the session is one too', async () => {
    const broker = await startBroker()
    const watcher = await connectClient(broker)
    await watcher.subscribe('a', 0)
    const first = await connectClient(broker, kept)
    first.sendPublish('a', 'x', { qos: 2, messageId: 5 })
    await first.next('pubrec')
    first.destroy()
    await clientGone(broker, 'kept')
    const second = await connectClient(broker, kept)
    second.sendPublish('a', 'x', { qos: 2, messageId: 5, dup: true })
    expect(await second.next()).toMatchObject({ cmd: 'pubrec', messageId: 5 })
    await second.release(5)
    expect(await watcher.nextMessage()).toMatchObject({ text: 'x' })
    expect(await watcher.quiet()).toEqual([])
  })

  it('[MQTT-4.3.3-2] PUBREL gets PUBCOMP, each time', async () => {
    const client = await connectClient(await startBroker())
    await client.publish('a', 'x', { qos: 2, messageId: 5 })
    expect(await client.release(5)).toMatchObject({ cmd: 'pubcomp', messageId: 5 })
  })

  it.each([false, true])('[MQTT-4.3.3-2] after PUBCOMP the same identifier is a new message (DUP %s)', async (dup) => {
    const broker = await startBroker()
    const watcher = await connectClient(broker)
    await watcher.subscribe('a', 0)
    const client = await connectClient(broker)
    for (const text of ['one', 'two', 'three']) {
      await client.publish('a', text, { qos: 2, messageId: 5, dup })
      expect(await watcher.nextMessage()).toMatchObject({ text })
    }
  })

  it('[MQTT-4.3.3-2] identifiers of the two directions have nothing to do with each other', async () => {
    const client = await connectClient(await startBroker())
    await client.subscribe('a', 2)
    await client.publish('a', 'to the client', { qos: 2, messageId: 1 })
    const { messageId } = await client.next('publish')
    client.sendPublish('b', 'to the broker', { qos: 2, messageId: messageId! })
    expect(await client.next()).toMatchObject({ cmd: 'pubrec', messageId })
    client.send({ cmd: 'pubrec', messageId: messageId! })
    expect(await client.next()).toMatchObject({ cmd: 'pubrel', messageId })
    client.send({ cmd: 'pubrel', messageId: messageId! })
    expect(await client.next()).toMatchObject({ cmd: 'pubcomp', messageId })
  })

  it.each([
    [1, [], 'pubrec'],
    [1, [], 'pubcomp'],
    [2, [], 'puback'],
    [2, [], 'pubcomp'],
    [2, ['pubrec'], 'puback'],
  ] as const)(
    '[MQTT-4.8.0-1] a message of QoS %d, after %j, closes the connection at a %s: another packet is due',
    async (qos, before, wrong) => {
      const broker = await startBroker()
      const client = await connectClient(broker)
      await client.subscribe('a', 2)
      const publisher = await connectClient(broker)
      await publisher.publish('a', 'x', { qos })
      const { messageId } = await client.next('publish')
      for (const cmd of before) {
        client.send({ cmd, messageId: messageId! })
        await client.next('pubrel')
      }
      const answered = client.received.length
      client.send({ cmd: wrong, messageId: messageId! })
      await client.closed()
      expect(client.received.length).toBe(answered)
    },
  )
})
