import { describe, expect, it } from 'vitest'
import { bytes, packet, string, u16 } from '../../protocol/packet-bytes'
import { openClient, startBroker } from '../../support/broker'
import { connectBytes } from './connect-bytes'

/** One exchange of every kind, in plain MQTT 3.1.1. */
const exchange = bytes(
  connectBytes(),
  packet(0x82, u16(1), string('a'), 2),
  packet(0x30, string('a'), Buffer.from('0')),
  packet(0x32, string('a'), u16(2), Buffer.from('1')),
  packet(0x34, string('a'), u16(3), Buffer.from('2')),
  packet(0x62, u16(3)),
  packet(0xa2, u16(4), string('a')),
  packet(0xc0),
)
const answers = [
  'connack',
  'suback',
  'publish',
  'publish',
  'puback',
  'publish',
  'pubrec',
  'pubcomp',
  'unsuback',
  'pingresp',
]

describe('MQTT 3.1.1 chapter 7, conformance', () => {
  it('[MQTT-7.0.0-2] a client that knows nothing but MQTT 3.1.1 can do everything', async () => {
    const client = await openClient(await startBroker())
    client.sendBytes(exchange)
    await client.next('pingresp')
    expect(client.received.map(({ cmd }) => cmd).sort()).toEqual([...answers].sort())
  })

  it('[MQTT-7.1.1-1] TCP carries MQTT, however its bytes are cut', async () => {
    const broker = await startBroker()
    for (const size of [1, 2, 3, 7, exchange.length]) {
      const client = await openClient(broker)
      for (let at = 0; at < exchange.length; at += size) {
        client.sendBytes(exchange.subarray(at, at + size))
        await new Promise((resolve) => setImmediate(resolve))
      }
      await client.next('pingresp')
      expect(client.received.map(({ cmd }) => cmd).sort()).toEqual([...answers].sort())
      await client.disconnect()
    }
  })
})
