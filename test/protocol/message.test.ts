import { describe, expect, it } from 'vitest'
import { Frame, readFrame } from '../../src/protocol/frame'
import { copyMessage, createMessage } from '../../src/protocol/message'
import { encodeMessageProperties } from '../../src/protocol/message-properties'
import type { MessageProperties } from '../../src/protocol/packet'
import { keepForwardedProperties, PublishPacket, readPublish } from '../../src/protocol/publish-packet'
import { block, bytes, packet as raw, string, u16, u32, userProperty } from './packet-bytes'

const properties: MessageProperties = {
  payloadFormatIndicator: 1,
  contentType: 'text/plain',
  responseTopic: 'answer',
  correlationData: Buffer.from([1, 2]),
  userProperties: [
    ['a', '1'],
    ['a', '2'],
    ['__proto__', 'x'],
  ],
}

describe('createMessage', () => {
  it('keeps topic, payload, flags and publisher', () => {
    const message = createMessage('€/b', Buffer.from('on'), undefined, 2, true, 77, 'lamp')
    expect(message).toMatchObject({
      topic: '€/b',
      qos: 2,
      retain: true,
      expiresAt: 77,
      publisher: 'lamp',
      stable: true,
    })
    expect(Buffer.from(message.topicBytes).toString()).toBe('€/b')
    expect([message.topicStart, message.topicEnd]).toEqual([0, 5])
    expect(message.payload.toString()).toBe('on')
    expect(message.properties).toEqual({})
    expect(message.propertyBytes).toBeUndefined()
  })

  it('takes the payload over where there are no properties', () => {
    const payload = Buffer.from('on')
    expect(createMessage('a', payload, undefined, 0, false, 0, undefined).payload).toBe(payload)
    expect(createMessage('a', payload, {}, 0, false, 0, undefined).payload).toBe(payload)
  })

  it('takes any Uint8Array as payload', () => {
    const within = new Uint8Array([9, 1, 2, 9]).subarray(1, 3)
    expect([...createMessage('a', within, undefined, 0, false, 0, undefined).payload]).toEqual([1, 2])
    expect([...createMessage('a', within, properties, 0, false, 0, undefined).payload]).toEqual([1, 2])
  })

  it.each([
    ['as an object', properties],
    ['as the bytes of their block', encodeMessageProperties(properties)],
  ])('takes properties %s', (_, given) => {
    const message = createMessage('a', Buffer.from('payload'), given, 0, false, 0, undefined)
    expect(message.payload.toString()).toBe('payload')
    expect(message.properties).toEqual(properties)
    expect(Buffer.from(message.propertyBytes!)).toEqual(Buffer.from(encodeMessageProperties(properties)))
  })

  it('has an empty payload too', () => {
    const message = createMessage('a', Buffer.alloc(0), properties, 0, false, 0, undefined)
    expect(message.payload.length).toBe(0)
    expect(message.properties).toEqual(properties)
  })
})

describe('copyMessage', () => {
  it('outlives the buffer that it was read from', () => {
    const whole = raw(
      0x33,
      string('a/b'),
      u16(5),
      block(2, u32(9), userProperty('a', 'b'), 35, u16(3)),
      Buffer.from('payload'),
    )
    const frame = new Frame()
    const packet = new PublishPacket()
    readFrame(frame, whole, 0, whole.length, 1000, true)
    readPublish(packet, whole, frame, 5, false)
    keepForwardedProperties(packet)
    const message = copyMessage(packet, 'a/b', Buffer.from('a/b'), packet.qos, packet.retain, 9000, 'lamp')
    whole.fill(0xee)
    expect(message).toMatchObject({ topic: 'a/b', qos: 1, retain: true, expiresAt: 9000, publisher: 'lamp' })
    expect(message.payload.toString()).toBe('payload')
    expect(message.properties).toEqual({ userProperties: [['a', 'b']] })
    expect(message.propertyBytes).toEqual(bytes(userProperty('a', 'b')))
  })
})
