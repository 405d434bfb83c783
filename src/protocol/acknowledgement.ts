import type { Output } from './output'
import { PacketType } from './packet'
import { reasonCodeOf } from './reason-code-table'

/** First bytes of the acknowledgements; PUBREL has its reserved flag (section 3.6.1). */
export const AckByte = {
  Puback: PacketType.Puback << 4,
  Pubrec: PacketType.Pubrec << 4,
  Pubrel: (PacketType.Pubrel << 4) | 2,
  Pubcomp: PacketType.Pubcomp << 4,
} as const

/** Writes PUBACK, PUBREC, PUBREL or PUBCOMP. A Reason Code of 0 takes the short form, which is also that of 3.1.1. */
export function writeAck(output: Output, first: number, packetIdentifier: number, reasonCode: number): void {
  const short = reasonCode === 0 || output.version !== 5
  const at = output.take(short ? 4 : 5)
  const bytes = output.bytes
  bytes[at] = first
  bytes[at + 1] = short ? 2 : 3
  bytes[at + 2] = packetIdentifier >> 8
  bytes[at + 3] = packetIdentifier & 255
  if (!short) bytes[at + 4] = reasonCodeOf(first >> 4, reasonCode)
}
