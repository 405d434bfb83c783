/** Opcodes, RFC 6455 section 5.2. */
export const Opcode = { Continuation: 0, Text: 1, Binary: 2, Close: 8, Ping: 9, Pong: 10 } as const
export type Opcode = (typeof Opcode)[keyof typeof Opcode]

/** Status codes of a Close frame, RFC 6455 section 7.4.1. */
export const Status = {
  Normal: 1000,
  ProtocolError: 1002,
  UnsupportedData: 1003,
  InvalidPayload: 1007,
  TooBig: 1009,
} as const

/** Bytes of the longest payload that the second byte of a frame says itself; that of a control frame is no longer. */
export const SHORT_PAYLOAD = 125

/** The head of an unmasked frame that is not split, as a server sends it. */
export function frameHead(opcode: Opcode, length: number): Buffer {
  const first = 0x80 | opcode
  if (length <= SHORT_PAYLOAD) return Buffer.of(first, length)
  if (length < 65_536) return Buffer.of(first, 126, length >> 8, length & 0xff)
  const head = Buffer.allocUnsafe(10)
  head[0] = first
  head[1] = 127
  head.writeUInt32BE(Math.floor(length / 2 ** 32), 2)
  head.writeUInt32BE(length >>> 0, 6)
  return head
}

/** A whole frame that is neither masked nor split. */
export function wholeFrame(opcode: Opcode, payload: Uint8Array): Buffer {
  return Buffer.concat([frameHead(opcode, payload.length), payload])
}

/** The payload of a Close frame without a reason. */
export const statusBytes = (status: number): Uint8Array => Uint8Array.of(status >> 8, status & 0xff)

/** Whether a peer may send this status (RFC 6455 section 7.4; 1012 to 1014 were registered later). */
export function isStatus(status: number): boolean {
  if (status >= 3000) return status <= 4999
  return status >= 1000 && status <= 1014 && (status < 1004 || status > 1006)
}
