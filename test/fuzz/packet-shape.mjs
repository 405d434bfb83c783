// Packets as trees of fields, so that a mutation knows what it spoils: a length, a property, a string, a flag.

/** A field: its kind, its value, and in `lie` what its length claims to be instead. */
const field = (kind, value) => ({ kind, value })
export const u8 = (value) => field('u8', value)
export const u16 = (value) => field('u16', value)
export const u32 = (value) => field('u32', value)
export const varint = (value) => field('varint', value)
export const text = (value) => field('text', value)
export const binary = (value) => field('binary', value)
export const raw = (value) => field('raw', value)
/** The property block of MQTT 5.0: `value` is a list of properties. */
export const properties = (value) => field('properties', value)
export const property = (id, ...fields) => ({ id, fields })

/** A control packet: the first byte, and its fields. */
export const packet = (name, first, fields) => ({ name, first, fields })

/** The bytes of a Variable Byte Integer; `size` makes it longer than it need be. */
export function variableByteInteger(value, size = 1) {
  const bytes = []
  let rest = value
  do {
    bytes.push(rest % 128)
    rest = Math.floor(rest / 128)
  } while (rest > 0)
  while (bytes.length < size) bytes.push(0)
  return Buffer.from(bytes.map((byte, i) => (i < bytes.length - 1 ? byte | 0x80 : byte)))
}

/** What a length says: the truth, or the lie of its field. */
function claim(length, lie) {
  if (lie === undefined) return length
  return Math.max(0, lie.add === undefined ? lie.be : length + lie.add)
}

function number(value, size) {
  const bytes = Buffer.alloc(size)
  bytes.writeUIntBE(value % 256 ** size, 0, size)
  return bytes
}

export function encodeField({ kind, value, lie }) {
  switch (kind) {
    case 'u8':
      return number(value, 1)
    case 'u16':
      return number(value, 2)
    case 'u32':
      return number(value, 4)
    case 'varint':
      return variableByteInteger(value, lie?.size)
    case 'raw':
      return Buffer.from(value)
    case 'properties': {
      const bytes = Buffer.concat(value.flatMap(({ id, fields }) => [encodeField(id), ...fields.map(encodeField)]))
      return Buffer.concat([variableByteInteger(claim(bytes.length, lie), lie?.size), bytes])
    }
    default: {
      const bytes = Buffer.from(value)
      return Buffer.concat([number(claim(bytes.length, lie), 2), bytes])
    }
  }
}

/** The bytes of a packet, with all that its lies say. */
export function encodePacket({ first, fields, lie, cut, tail }) {
  const body = Buffer.concat(fields.map(encodeField))
  const bytes = Buffer.concat([
    Buffer.from([first & 0xff]),
    variableByteInteger(claim(body.length, lie), lie?.size),
    body,
  ])
  const whole = tail === undefined ? bytes : Buffer.concat([bytes, tail])
  return cut === undefined ? whole : whole.subarray(0, Math.floor(whole.length * cut))
}
