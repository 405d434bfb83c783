import { parser as newParser, type Packet, type Parser } from 'mqtt-packet'
import { malformed } from './mqtt-error'
import type { ProtocolVersion } from './packet'

/** The parser keeps the last CONNECT in its settings; its types do not name them. */
type ParserWithSettings = Parser & { settings: { protocolVersion: ProtocolVersion } }

/** mqtt-packet's parser for whole packets of one protocol version, one at a time. */
export class PacketParser {
  private parser: ParserWithSettings
  private parsed: Packet | undefined
  private failure: Error | undefined

  constructor(private readonly version: ProtocolVersion) {
    this.parser = this.renew()
  }

  /** Parses exactly one packet. What it returns points into `bytes`. Throws 0x81 for what the parser refuses. */
  parse(bytes: Buffer): Packet {
    this.parsed = undefined
    this.failure = undefined
    let rest = 0
    try {
      rest = this.parser.parse(bytes)
    } catch (error) {
      this.failure = error instanceof Error ? error : new Error(String(error))
    }
    const parsed: Packet | undefined = this.parsed
    if (parsed === undefined || this.failure !== undefined || rest !== 0) {
      const reason = (this.failure as Error | undefined)?.message ?? 'it does not end where it should'
      // after an error it still holds bytes
      this.parser = this.renew()
      throw malformed(`a packet cannot be parsed: ${reason}`)
    }
    this.parsed = undefined
    // a CONNECT, with its password, would stay until the next one
    this.parser.settings = { protocolVersion: this.version }
    return parsed
  }

  private renew(): ParserWithSettings {
    const parser = newParser({ protocolVersion: this.version }) as ParserWithSettings
    parser.on('packet', (packet) => {
      this.parsed = packet
    })
    parser.on('error', (error: Error) => {
      this.failure = error
    })
    return parser
  }
}
