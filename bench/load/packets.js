/** Bytes of the packets that the load sends: MQTT 3.1.1 and 5.0, encoded before the clock starts. */

const uint16 = (value) => Buffer.from([value >> 8, value & 255])
const uint32 = (value) => Buffer.from([value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255])

const text = (value) => Buffer.concat([uint16(Buffer.byteLength(value)), Buffer.from(value)])

export function variableByteInteger(value) {
  const bytes = []
  let rest = value
  do {
    const digit = rest & 127
    rest >>= 7
    bytes.push(rest > 0 ? digit | 128 : digit)
  } while (rest > 0)
  return Buffer.from(bytes)
}

function packet(header, ...parts) {
  const body = Buffer.concat(parts)
  return Buffer.concat([Buffer.from([header]), variableByteInteger(body.length), body])
}

/** The property block with its length; nothing in MQTT 3.1.1, which has none. */
function propertyBlock(version, ...properties) {
  if (version < 5) return Buffer.alloc(0)
  const block = Buffer.concat(properties)
  return Buffer.concat([variableByteInteger(block.length), block])
}

/** A client that stays: `clean` is false, and in MQTT 5.0 the session outlives its connection for ten minutes. */
export function encodeConnect({ clientId, version, clean = true }) {
  const properties = clean ? [] : [Buffer.from([0x11]), uint32(600)]
  return packet(
    0x10,
    text('MQTT'),
    Buffer.from([version, clean ? 2 : 0, 0, 0]),
    propertyBlock(version, ...properties),
    text(clientId),
  )
}

export function encodeSubscribe({ packetIdentifier, filters, qos, version }) {
  const entries = filters.map((filter) => Buffer.concat([text(filter), Buffer.from([qos])]))
  return packet(0x82, uint16(packetIdentifier), propertyBlock(version), ...entries)
}

export function encodeUnsubscribe({ packetIdentifier, filters, version }) {
  return packet(0xa2, uint16(packetIdentifier), propertyBlock(version), ...filters.map(text))
}

export const disconnectPacket = Buffer.from([0xe0, 0])

export const pingreqPacket = Buffer.from([0xc0, 0])

/** What messages of the `user` scenarios carry. */
const userProperties = [
  Buffer.concat([Buffer.from([0x26]), text('device'), text('sensor-0042')]),
  Buffer.concat([Buffer.from([0x26]), text('region'), text('north')]),
]

/**
 * A PUBLISH. `properties` is 'none' or 'user' (two user properties); `alias` is a Topic Alias, with `topic` empty once
 * the broker knows it.
 */
export function encodePublish({
  topic,
  qos = 0,
  packetIdentifier = 1,
  version = 4,
  properties = 'none',
  alias,
  payload,
}) {
  const block = []
  if (alias !== undefined) block.push(Buffer.from([0x23]), uint16(alias))
  if (properties === 'user') block.push(...userProperties)
  return packet(
    0x30 | (qos << 1),
    text(topic),
    qos > 0 ? uint16(packetIdentifier) : Buffer.alloc(0),
    propertyBlock(version, ...block),
    payload,
  )
}

/** The bytes of a whole packet from its fixed header at `from`, or 0 while the fixed header is not complete. */
export function packetLength(bytes, from, to) {
  let length = 0
  for (let at = from + 1, shift = 0; at < to && shift < 28; at++, shift += 7) {
    length |= (bytes[at] & 127) << shift
    if (bytes[at] < 128) return at + 1 - from + length
  }
  return 0
}
