/** The DER tags that a private key container is made of. */
export const DerTag = {
  Integer: 0x02,
  OctetString: 0x04,
  Null: 0x05,
  ObjectIdentifier: 0x06,
  BmpString: 0x1e,
  Sequence: 0x30,
  Set: 0x31,
} as const

/** One DER element: tag, length, content. */
export function der(tag: number, ...content: Uint8Array[]): Uint8Array {
  const body = Buffer.concat(content)
  if (body.length < 0x80) return Buffer.concat([Buffer.of(tag, body.length), body])
  const length = bigEndian(body.length)
  return Buffer.concat([Buffer.of(tag, 0x80 | length.length), length, body])
}

/** A positive INTEGER. */
export function derInteger(value: number): Uint8Array {
  const bytes = bigEndian(value)
  return der(DerTag.Integer, bytes[0]! & 0x80 ? Buffer.concat([Buffer.of(0), bytes]) : bytes)
}

/** An OBJECT IDENTIFIER from its dotted form. */
export function derObjectIdentifier(dotted: string): Uint8Array {
  const [first, second, ...rest] = dotted.split('.').map(Number)
  const bytes = [first! * 40 + second!].concat(rest.flatMap(base128))
  return der(DerTag.ObjectIdentifier, Uint8Array.from(bytes))
}

function base128(value: number): number[] {
  const digits = [value % 128]
  for (let rest = Math.floor(value / 128); rest > 0; rest = Math.floor(rest / 128)) digits.unshift((rest % 128) | 0x80)
  return digits
}

function bigEndian(value: number): Buffer {
  const hex = value.toString(16)
  return Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex')
}
