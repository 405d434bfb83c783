import { MqttError, malformed } from './mqtt-error'
import { PacketType } from './packet'

/** The answers of `readFrame`. */
export const FrameStatus = { Whole: 0, Partial: 1, Malformed: 2, TooLarge: 3 } as const

/** The QoS of a PUBLISH in its first byte. */
export const QOS_MASK = 6

/** A packet in a chunk, by offsets. One object serves for all packets. */
export class Frame {
  /** The first byte: packet type and flags. */
  first = 0
  /** Offset of the first byte. */
  start = 0
  /** Offset behind the fixed header. */
  body = 0
  /** Offset behind the packet; with `Partial`, where it will end, or 0 while the length itself is incomplete. */
  end = 0
}

/**
 * Finds the packet that begins at `start` (section 2.2) without copying it. A packet above `maximumPacketSize` is
 * refused as soon as its length is known, before a byte of its body is kept. `minimalLength` refuses padded lengths.
 */
export function readFrame(
  frame: Frame,
  bytes: Uint8Array,
  start: number,
  limit: number,
  maximumPacketSize: number,
  minimalLength: boolean,
): number {
  frame.start = start
  frame.end = 0
  if (start >= limit) return FrameStatus.Partial
  frame.first = bytes[start]!
  let at = start + 1
  if (at >= limit) return FrameStatus.Partial
  let digit = bytes[at++]!
  let length = digit & 127
  if (digit > 127) {
    for (let shift = 7; digit > 127; shift += 7) {
      // [MQTT-1.5.5-1] four bytes at the most
      if (shift > 21) return FrameStatus.Malformed
      if (at >= limit) return FrameStatus.Partial
      digit = bytes[at++]!
      length |= (digit & 127) << shift
    }
    // [MQTT-1.5.5-1] of 5.0 asks for the shortest encoding; 3.1.1 does not, and some clients pad
    if (digit === 0 && minimalLength) return FrameStatus.Malformed
  }
  frame.body = at
  const end = at + length
  frame.end = end
  if (end - start > maximumPacketSize) return FrameStatus.TooLarge
  return end > limit ? FrameStatus.Partial : FrameStatus.Whole
}

/** Bytes of a packet of any type besides CONNECT, PUBLISH, SUBSCRIBE and UNSUBSCRIBE: what its properties may have, and its fixed fields. */
const SMALL_PACKET = 128 * 1024 + 16

/** Whether a packet of this type and length is more than it could be: it is refused before it has arrived. */
export function isOversized(first: number, length: number): boolean {
  if (length <= SMALL_PACKET) return false
  const type = first >> 4
  return type > PacketType.Publish && type !== PacketType.Subscribe && type !== PacketType.Unsubscribe
}

/** What a status other than `Whole` and `Partial` stands for. */
export function frameError(status: number, maximumPacketSize: number): MqttError {
  if (status === FrameStatus.Malformed) return malformed('a Remaining Length of more than four bytes')
  return new MqttError('GNATMQ_PACKET_TOO_LARGE', `a packet above Maximum Packet Size, ${maximumPacketSize} bytes`)
}
