import type { QoS } from './packet'
import { variableByteIntegerLength } from './variable-byte-integer'

/** Packets that a client sends, for the connections of the application's own. MQTT 5.0. */

/** CONNECT without Clean Start, Will, user name and password. `sessionExpiryInterval` is in seconds. */
export function encodeConnect(clientId: string, sessionExpiryInterval: number, receiveMaximum: number): Buffer {
  const properties = Buffer.alloc(8)
  properties[0] = 0x11
  properties.writeUInt32BE(sessionExpiryInterval, 1)
  properties[5] = 0x21
  properties.writeUInt16BE(receiveMaximum, 6)
  const head = [text('MQTT'), Buffer.from([5, 0, 0, 0, properties.length])]
  return packet(0x10, [...head, properties, text(clientId)])
}

/** `options` as section 3.8.3.1 has them. */
export function encodeSubscribe(identifier: number, filter: string, options: number): Buffer {
  return packet(0x82, [twoBytes(identifier), Buffer.of(0), text(filter), Buffer.of(options)])
}

export function encodeUnsubscribe(identifier: number, filters: readonly string[]): Buffer {
  return packet(0xa2, [twoBytes(identifier), Buffer.of(0), ...filters.map(text)])
}

/** With `endsSession` the session ends with the connection (section 3.14.2.2.2). */
export function encodeDisconnect(endsSession: boolean): Buffer {
  return endsSession ? Buffer.of(0xe0, 7, 0, 5, 0x11, 0, 0, 0, 0) : Buffer.of(0xe0, 0)
}

/** The Subscription Options: no retained messages for a subscription that is there, and the RETAIN flag as it was published. */
export function subscriptionOptions(qos: QoS, noLocal: boolean): number {
  return qos | (noLocal ? 4 : 0) | 8 | 0x10
}

function packet(first: number, parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts)
  const head: number[] = [first]
  let rest = body.length
  for (let i = variableByteIntegerLength(rest); i > 0; i--) {
    head.push((rest & 127) | (i > 1 ? 128 : 0))
    rest >>>= 7
  }
  return Buffer.concat([Buffer.from(head), body])
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value)
  return Buffer.concat([twoBytes(bytes.length), bytes])
}

function twoBytes(value: number): Buffer {
  return Buffer.of(value >> 8, value & 0xff)
}
