import { incomplete, readVariableByteInteger, variableByteIntegerLength } from '../protocol/variable-byte-integer'

const nothing = Buffer.alloc(0)

/** Cuts a stream of bytes into MQTT packets. What is no MQTT, and what the stream ends with, comes as it is. */
export class PacketCutter {
  private rest: Buffer = nothing
  private isMqtt = true

  /** The packets that are whole now. `bytes` belong to the cutter from here on. */
  cut(bytes: Buffer): Buffer[] {
    if (!this.isMqtt) return [bytes]
    let all = this.rest.length === 0 ? bytes : Buffer.concat([this.rest, bytes])
    const packets: Buffer[] = []
    for (;;) {
      const length = packetLength(all)
      if (length === incomplete || length > all.length) break
      if (length < 0) {
        this.isMqtt = false
        packets.push(all)
        all = nothing
        break
      }
      packets.push(all.subarray(0, length))
      all = all.subarray(length)
    }
    this.rest = all
    return packets
  }

  /** What has come of a packet that is not whole. */
  remains(): Buffer {
    const { rest } = this
    this.rest = nothing
    return rest
  }
}

/** The length of the packet that `bytes` begin with; `incomplete`, or another negative number where that is no packet. */
function packetLength(bytes: Buffer): number {
  const remaining = readVariableByteInteger(bytes, 1, bytes.length)
  return remaining < 0 ? remaining : 1 + variableByteIntegerLength(remaining) + remaining
}
