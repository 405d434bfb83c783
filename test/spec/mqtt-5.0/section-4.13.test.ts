import { describe, expect, it } from 'vitest'
import { block, packet, string, u16 } from '../../protocol/packet-bytes'
import { startBroker } from '../../support/broker'
import { connect, gone, lastWord, open, pair } from './clients'

describe('section 4.13: errors', () => {
  it('[MQTT-4.13.1-1] [MQTT-4.13.2-1] an error is told, the connection is closed, and nobody else notices', async () => {
    const { broker, subscriber, publisher } = await pair()
    await subscriber.subscribe('a', 1)
    for (const [wrong, code] of [
      [packet(0x36, string('a'), u16(1), block()), 0x81],
      [packet(0x82, u16(1), block()), 0x82],
      [packet(0x00), 0x81],
      [packet(0xd0), 0x82],
    ] as const) {
      const client = await connect(broker, { clientId: 'wrong' })
      client.sendBytes(wrong)
      expect(await lastWord(client)).toBe(code)
      await gone(broker, 'wrong')
      await publisher.publish('a', 'goes on', { qos: 1 })
      await subscriber.acknowledge(await subscriber.next('publish'))
    }
  })

  it('[MQTT-4.13.1-1] a malformed CONNECT is told by CONNACK, and closed', async () => {
    const broker = await startBroker()
    const client = await open(broker)
    client.sendBytes(packet(0x10, string('MQTT'), 5, 0x02, u16(0), block(Buffer.from([1, 1])), string('c')))
    expect(await lastWord(client)).toBe(0x81)
    expect(client.received).toMatchObject([{ cmd: 'connack' }])
  })

  it('[MQTT-4.13.2-1] the connection closes even if the client goes on sending and reads nothing', async () => {
    const broker = await startBroker()
    const client = await connect(broker, { clientId: 'stubborn' })
    client.pause()
    client.sendBytes(packet(0x00))
    for (let n = 0; n < 100; n++) client.sendBytes(packet(0x30, string('a'), block(), Buffer.alloc(1000)))
    await gone(broker, 'stubborn')
    client.resume()
    await client.closed()
    expect(client.received.filter(({ cmd }) => cmd !== 'connack' && cmd !== 'disconnect')).toEqual([])
  })
})
