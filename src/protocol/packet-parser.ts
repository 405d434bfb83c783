import { parser as newParser, type Packet } from 'mqtt-packet'
import { malformed } from './mqtt-error'
import type { ProtocolVersion } from './packet'

/**
 * Parses exactly one packet with mqtt-packet. What it returns points into `bytes`. Throws 0x81 for what the parser
 * refuses. Each packet gets a parser of its own: it would keep the last CONNECT, with its password.
 */
export function parsePacket(bytes: Buffer, protocolVersion: ProtocolVersion): Packet {
  const parser = newParser({ protocolVersion })
  const parsed: Packet[] = []
  let reason = 'it does not end where it should'
  let failed = false
  const fail = (error: unknown): void => {
    failed = true
    if (error instanceof Error) reason = error.message
  }
  parser.on('packet', (packet) => parsed.push(packet))
  parser.on('error', fail)
  let rest = 0
  try {
    rest = parser.parse(bytes)
  } catch (error) {
    fail(error)
  }
  const [packet] = parsed
  if (packet === undefined || failed || rest !== 0) throw malformed(`a packet cannot be parsed: ${reason}`)
  return packet
}
