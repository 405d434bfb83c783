import type { Packet } from 'mqtt-packet'
import type { TracedPacket } from '../../ports/trace'
import { PacketType } from '../../protocol/packet'
import { writeVariableByteInteger } from '../../protocol/variable-byte-integer'

type Parser = typeof import('mqtt-packet').parser

/** Reads packets for people, by the package `mqtt-packet`, which is loaded with the first trace. What it cannot read has no packet. */
export class PacketDecoder {
  private readonly parser: Parser

  private constructor(parser: Parser) {
    this.parser = parser
  }

  static async load(): Promise<PacketDecoder> {
    const loaded = await import('mqtt-packet')
    return new PacketDecoder(loaded.parser ?? loaded.default.parser)
  }

  /** `head` are the first bytes of a packet of `size` bytes. */
  decode(head: Buffer, size: number, version: number): TracedPacket | undefined {
    const isWhole = head.length === size
    if (!isWhole && head[0]! >> 4 !== PacketType.Publish) return undefined
    let packet: Packet | undefined
    try {
      const parser = this.parser({ protocolVersion: version })
      parser.on('packet', (one: Packet) => {
        packet = one
      })
      parser.on('error', () => undefined)
      parser.parse(isWhole ? head : shortened(head))
    } catch {
      return undefined
    }
    return packet === undefined ? undefined : withoutSecrets(packet)
  }
}

/** A PUBLISH with as much of its payload as there is. */
function shortened(head: Buffer): Buffer {
  let at = 1
  while (head[at]! > 127) at++
  const body = head.subarray(at + 1)
  const header = Buffer.from([head[0]!, 0, 0, 0, 0])
  const end = writeVariableByteInteger(header, 1, body.length)
  return Buffer.concat([header.subarray(0, end), body])
}

function withoutSecrets(packet: Packet): TracedPacket {
  const { length: _length, password: _password, ...shown } = packet as unknown as Record<string, unknown>
  const properties = shown.properties as Record<string, unknown> | undefined
  if (properties?.authenticationData !== undefined) {
    const { authenticationData: _data, ...others } = properties
    shown.properties = others
  }
  return shown as TracedPacket
}
