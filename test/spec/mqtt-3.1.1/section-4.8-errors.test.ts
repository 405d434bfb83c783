import { describe, expect, it } from 'vitest'
import { MemoryStore } from '../../../src/persistence/memory-store'
import type { Change } from '../../../src/ports/store'
import { bytes, packet, string, u16 } from '../../protocol/packet-bytes'
import { connectClient, startBroker } from '../../support/broker'

/** A store that fails when it is told to. */
class FailingStore extends MemoryStore {
  failing = false

  override commit(changes: readonly Change[]): void {
    if (this.failing) throw new Error('the disk is full')
    super.commit(changes)
  }
}

/** The same, with promises. */
class FailingLaterStore extends MemoryStore {
  failing = false

  override async commit(changes: readonly Change[]): Promise<void> {
    await Promise.resolve()
    if (this.failing) throw new Error('the disk is full')
    super.commit(changes)
  }
}

describe('MQTT 3.1.1 section 4.8, handling errors', () => {
  it.each([
    ['of type 0', packet(0x00)],
    ['of type 15', packet(0xf0)],
    ['CONNACK', packet(0x20, 0, 0)],
    ['SUBACK', packet(0x90, u16(1), 0)],
    ['UNSUBACK', packet(0xb0, u16(1))],
    ['PINGRESP', packet(0xd0)],
    ['PINGREQ with a body', packet(0xc0, 0)],
    ['DISCONNECT with a body', packet(0xe0, 0)],
    ['PUBACK without an identifier', packet(0x40)],
    ['PUBACK with half an identifier', packet(0x40, 1)],
    ['PUBACK with more than an identifier', packet(0x40, u16(1), 0)],
    ['PUBREL with more than an identifier', packet(0x62, u16(1), 0)],
    ['PUBLISH that ends in its identifier', packet(0x32, string('a'), 0)],
    ['SUBSCRIBE that ends in a filter', packet(0x82, u16(1), u16(4), Buffer.from('a'))],
    ['SUBSCRIBE without a QoS', packet(0x82, u16(1), string('a'))],
    ['UNSUBSCRIBE that ends in a length', packet(0xa2, u16(1), string('a'), 0)],
    ['with a Remaining Length of five bytes', bytes(0x30, 0x80, 0x80, 0x80, 0x80, 1)],
  ])('[MQTT-4.8.0-1] a packet %s closes its connection, and no other', async (_what, wrong) => {
    const broker = await startBroker()
    const other = await connectClient(broker)
    await other.subscribe('#', 0)
    const client = await connectClient(broker)
    client.sendBytes(bytes(wrong, packet(0x30, string('behind'), Buffer.from('x'))))
    await client.closed()
    expect(client.received.map(({ cmd }) => cmd)).toEqual(['connack'])
    expect(await other.quiet()).toEqual([])
  })

  it.each([
    ['at once', () => new FailingStore()],
    ['later', () => new FailingLaterStore()],
  ])(
    '[MQTT-4.8.0-2] a packet that the store refuses %s is not acknowledged, and closes its connection',
    async (_when, create) => {
      const store = create()
      const broker = await startBroker({ store })
      const other = await connectClient(broker)
      for (const wrong of [
        packet(0x33, string('a'), u16(1), Buffer.from('x')),
        packet(0x82, u16(1), string('b'), 1),
        packet(0x34, string('a'), u16(1), Buffer.from('x')),
      ]) {
        const client = await connectClient(broker, { clientId: 'c', clean: false })
        store.failing = true
        client.sendBytes(wrong)
        await client.closed()
        expect(client.received.map(({ cmd }) => cmd)).toEqual(['connack'])
        store.failing = false
      }
      expect(await other.quiet()).toEqual([])
    },
  )

  it('[MQTT-4.8.0-2] a packet that is larger than the broker takes closes its connection', async () => {
    const broker = await startBroker({ limits: { maximumPacketSize: 1000 } })
    const other = await connectClient(broker)
    const client = await connectClient(broker)
    client.sendPublish('a', Buffer.alloc(2000), { qos: 1 })
    await client.closed()
    expect(client.received.map(({ cmd }) => cmd)).toEqual(['connack'])
    expect(await other.quiet()).toEqual([])
  })
})
