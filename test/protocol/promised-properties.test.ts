import { expect, it } from 'vitest'
import { Frame, readFrame } from '../../src/protocol/frame'
import { checkPromisedProperties } from '../../src/protocol/promised-properties'
import { bytes, packet, string, u16 } from './packet-bytes'

const MEGABYTE = 1024 * 1024

function length(value: number): Buffer {
  return Buffer.of((value & 127) | 128, ((value >> 7) & 127) | 128, ((value >> 14) & 127) | 128, value >> 21)
}

/** The first bytes of a packet of 4 MiB, up to its Property Length. */
function beginning(first: number, head: Buffer, properties: number): Buffer {
  const whole = packet(first, head, length(properties), Buffer.alloc(4 * MEGABYTE))
  return whole.subarray(0, 5 + head.length + 4)
}

function checked(begun: Buffer): void {
  const frame = new Frame()
  readFrame(frame, begun, 0, begun.length, 16 * MEGABYTE, true)
  checkPromisedProperties(begun, frame, begun.length)
}

const heads: readonly (readonly [string, number, Buffer, number])[] = [
  ['PUBLISH of QoS 0', 0x30, bytes(string('topic')), 320 * 1024],
  ['PUBLISH of QoS 1', 0x32, bytes(string('topic'), u16(1)), 320 * 1024],
  ['SUBSCRIBE', 0x82, bytes(u16(1)), 128 * 1024],
  ['UNSUBSCRIBE', 0xa2, bytes(u16(1)), 128 * 1024],
]

it.each(heads)('a %s that promises more properties than there may be is refused with its first bytes', (...row) => {
  const [, first, head, maximum] = row
  const begun = beginning(first, head, maximum + 1)
  expect(() => checked(begun)).toThrow(expect.objectContaining({ code: 'GNATMQ_QUOTA_EXCEEDED', reasonCode: 0x97 }))
  expect(() => checked(beginning(first, head, maximum))).not.toThrow()
  // what has not come yet says nothing
  for (let end = 0; end < begun.length; end++) expect(() => checked(begun.subarray(0, end))).not.toThrow()
})
