import { describe, expect, it } from 'vitest'
import { SimulatedClock } from '../../../src/testing/simulated-clock'
import { clientGone, connectClient, startBroker } from '../../support/broker'

const kept = { clientId: 'kept', clean: false }

describe('MQTT 3.1.1 section 4.1, storing state', () => {
  it('[MQTT-4.1.0-1] a session keeps subscriptions, messages and identifiers from connection to connection', async () => {
    const broker = await startBroker()
    const publisher = await connectClient(broker)
    const watcher = await connectClient(broker)
    await watcher.subscribe('from/kept', 2)
    const first = await connectClient(broker, kept)
    await first.subscribe('to/kept', 2)
    await publisher.publish('to/kept', 'unacknowledged', { qos: 1 })
    await publisher.publish('to/kept', 'received', { qos: 2 })
    const unacknowledged = await first.next('publish')
    const received = await first.next('publish')
    first.send({ cmd: 'pubrec', messageId: received.messageId! })
    await first.next('pubrel')
    first.sendPublish('from/kept', 'held', { qos: 2, messageId: 9 })
    await first.next('pubrec')
    await watcher.acknowledge((await watcher.nextMessage()).packet)
    first.destroy()
    await clientGone(broker, 'kept')
    await publisher.publish('to/kept', 'waiting', { qos: 1 })

    const second = await connectClient(broker, kept)
    const arrived = await second.quiet()
    expect(arrived.slice(0, 2).map(({ cmd, messageId }) => [cmd, messageId])).toEqual([
      ['publish', unacknowledged.messageId],
      ['pubrel', received.messageId],
    ])
    expect(arrived[2]).toMatchObject({ cmd: 'publish', payload: Buffer.from('waiting'), dup: false })
    second.sendPublish('from/kept', 'held', { qos: 2, messageId: 9, dup: true })
    expect(await second.next()).toMatchObject({ cmd: 'pubrec', messageId: 9 })
    await second.release(9)
    expect(await watcher.quiet()).toEqual([])
  })

  it('[MQTT-4.1.0-2] a session lasts as long as its connection, clean or not', async () => {
    const clock = new SimulatedClock()
    const broker = await startBroker({ clock, limits: { maximumSessionExpiryInterval: 60 } })
    for (const clean of [true, false]) {
      const client = await connectClient(broker, { clean })
      await client.subscribe('a', 1)
      clock.advance(3_600_000)
      await client.publish('a', 'x', { qos: 1 })
      expect(await client.nextMessage()).toMatchObject({ text: 'x' })
    }
  })
})

describe('MQTT 3.1.1 section 4.4, message delivery retry', () => {
  it('[MQTT-4.4.0-1] PUBLISH and PUBREL packets without an answer are sent again with their identifiers', async () => {
    const broker = await startBroker()
    const first = await connectClient(broker, kept)
    await first.subscribe('a', 2)
    for (const [i, qos] of ([1, 2, 2, 1, 2] as const).entries()) await first.publish('a', String(i), { qos })
    const sent = (await first.quiet()).map(({ messageId }) => messageId!)
    first.send({ cmd: 'puback', messageId: sent[0]! })
    for (const messageId of [sent[1]!, sent[2]!]) first.send({ cmd: 'pubrec', messageId })
    expect((await first.quiet()).map(({ cmd }) => cmd)).toEqual(['pubrel', 'pubrel'])
    first.send({ cmd: 'pubcomp', messageId: sent[2]! })
    await first.quiet()
    await first.disconnect()

    const second = await connectClient(broker, kept)
    const resent = await second.quiet()
    const seen = resent.map((packet) => [packet.cmd, packet.messageId, packet.cmd === 'publish' && packet.dup])
    expect(seen).toHaveLength(3)
    expect(seen).toContainEqual(['pubrel', sent[1], false])
    expect(seen).toContainEqual(['publish', sent[3], true])
    expect(seen).toContainEqual(['publish', sent[4], true])
    second.send({ cmd: 'pubcomp', messageId: sent[1]! }, { cmd: 'puback', messageId: sent[3]! })
    second.send({ cmd: 'pubrec', messageId: sent[4]! })
    await second.next('pubrel')
    second.send({ cmd: 'pubcomp', messageId: sent[4]! })
    await second.quiet()
    await second.disconnect()
    const third = await connectClient(broker, kept)
    expect(await third.quiet()).toEqual([])
  })

  it('[MQTT-4.4.0-1] a connection that is taken over hands its messages on', async () => {
    const broker = await startBroker()
    const first = await connectClient(broker, kept)
    await first.subscribe('a', 1)
    await first.publish('a', 'x', { qos: 1 })
    const { messageId } = await first.next('publish')
    const second = await connectClient(broker, kept)
    expect(await second.next('publish')).toMatchObject({ messageId, dup: true })
  })
})

describe('MQTT 3.1.1 section 4.5, message receipt', () => {
  it('[MQTT-4.5.0-1] a message goes to every session with a matching subscription, connected or not', async () => {
    const broker = await startBroker()
    const filters = ['a/b', 'a/+', '#', 'a/#', '+/b']
    for (const [i, filter] of filters.entries()) {
      const away = await connectClient(broker, { clientId: `away-${i}`, clean: false })
      await away.subscribe(filter, 1)
      await away.disconnect()
    }
    const here = await Promise.all(filters.map(() => connectClient(broker)))
    for (const [i, filter] of filters.entries()) await here[i]!.subscribe(filter, 1)
    const other = await connectClient(broker)
    await other.subscribe(['a', 'a/b/c', 'b/+', '+'], 1)
    await other.publish('a/b', 'x', { qos: 1 })
    for (const client of here) expect(await client.nextMessage()).toMatchObject({ topic: 'a/b', text: 'x' })
    for (const i of filters.keys()) {
      const back = await connectClient(broker, { clientId: `away-${i}`, clean: false })
      expect(await back.nextMessage()).toMatchObject({ topic: 'a/b', text: 'x' })
    }
    expect(await other.quiet()).toEqual([])
  })

  it('[MQTT-4.5.0-1] a publisher that subscribes gets its own message', async () => {
    const client = await connectClient(await startBroker())
    await client.subscribe('a', 1)
    await client.publish('a', 'x', { qos: 1 })
    expect(await client.nextMessage()).toMatchObject({ text: 'x' })
  })
})
