// What is done to a sound packet, with respect to its structure.
import { anyProperty } from './packet-source.mjs'

const numbers = {
  u8: [0, 1, 2, 3, 0x7f, 0x80, 0xff],
  u16: [0, 1, 0x7fff, 0xffff],
  u32: [0, 1, 0x7fffffff, 0xffffffff],
  varint: [0, 127, 128, 16_383, 2_097_152, 268_435_455],
}
const strings = [
  '',
  '\0',
  'a\0b',
  '#',
  'a#',
  '+a',
  'a/#/b',
  '$share',
  '$share//a',
  '$share/g/',
  '$share/+/a',
  '$SYS/#',
  '\u{feff}',
  '\u0001',
  '/'.repeat(200),
  '+/'.repeat(100),
  'y'.repeat(65_535),
  Buffer.from([0xff]),
  Buffer.from([0xc0, 0x80]),
  Buffer.from([0xed, 0xa0, 0x80]),
  Buffer.from([0xf4, 0x90, 0x80, 0x80]),
  Buffer.from([0xe2, 0x82]),
]

/** All fields of a packet, those of its properties included. */
function fieldsOf(packet) {
  return packet.fields.flatMap((field) =>
    field.kind === 'properties' ? [field, ...field.value.flatMap(({ id, fields }) => [id, ...fields])] : [field],
  )
}

const blocksOf = (packet) => packet.fields.filter(({ kind }) => kind === 'properties')

function lie(r) {
  return r.pick([
    { add: 1 },
    { add: -1 },
    { add: -2 },
    { add: 100 },
    { be: 0 },
    { be: 0xffff },
    { be: 268_435_455 },
    { size: 2 },
    { size: 3 },
    { size: 4 },
    { size: 5 },
  ])
}

/** Each spoils a packet in its way; false where the packet has nothing of that kind. */
const mutations = [
  function remainingLength(r, packet) {
    packet.lie = lie(r)
    return true
  },
  function fieldLength(r, packet) {
    const fields = fieldsOf(packet).filter(
      ({ kind }) => kind === 'text' || kind === 'binary' || kind === 'properties' || kind === 'varint',
    )
    if (fields.length === 0) return false
    r.pick(fields).lie = lie(r)
    return true
  },
  function fieldValue(r, packet) {
    const fields = fieldsOf(packet).filter(({ kind }) => kind !== 'properties')
    if (fields.length === 0) return false
    const field = r.pick(fields)
    field.value = r.pick(numbers[field.kind] ?? strings)
    return true
  },
  function flags(r, packet) {
    packet.first ^= 1 << r.below(8)
    return true
  },
  function fieldGone(r, packet) {
    if (packet.fields.length === 0) return false
    packet.fields.splice(r.below(packet.fields.length), 1)
    return true
  },
  function fieldTwice(r, packet) {
    if (packet.fields.length === 0) return false
    const at = r.below(packet.fields.length)
    packet.fields.splice(at, 0, packet.fields[at])
    return true
  },
  function fieldsSwapped(r, packet) {
    if (packet.fields.length < 2) return false
    const at = r.below(packet.fields.length - 1)
    packet.fields.splice(at, 2, packet.fields[at + 1], packet.fields[at])
    return true
  },
  function propertyTwice(r, packet) {
    const blocks = blocksOf(packet).filter(({ value }) => value.length > 0)
    if (blocks.length === 0) return false
    const { value } = r.pick(blocks)
    const times = r.pick([1, 1, 1, 100])
    const again = r.pick(value)
    for (let n = 0; n < times; n++) value.splice(r.below(value.length + 1), 0, again)
    return true
  },
  function foreignProperty(r, packet) {
    const blocks = blocksOf(packet)
    if (blocks.length === 0) return false
    const { value } = r.pick(blocks)
    value.splice(r.below(value.length + 1), 0, anyProperty(r))
    return true
  },
  function propertyIdentifier(r, packet) {
    const blocks = blocksOf(packet).filter(({ value }) => value.length > 0)
    if (blocks.length === 0) return false
    r.pick(r.pick(blocks).value).id = { kind: 'varint', value: r.pick([0, 4, 5, 10, 43, 127, 128, 268_435_455]) }
    return true
  },
  function cut(r, packet) {
    packet.cut = r.next()
    return true
  },
  function tail(r, packet) {
    packet.tail = r.bytes(1 + r.below(20))
    return true
  },
]

/** The same packet, spoilt once or more. Takes a packet that nobody else has. */
export function mutate(r, packet) {
  for (let left = r.pick([1, 1, 1, 2, 3]); left > 0; ) if (r.pick(mutations)(r, packet)) left--
  return packet
}

/** Bytes without a known structure, of the corpus for example, spoilt blindly. */
export function mutateBytes(r, bytes) {
  const spoilt = Buffer.from(bytes)
  if (spoilt.length === 0) return spoilt
  const at = r.below(spoilt.length)
  switch (r.below(5)) {
    case 0:
      spoilt[at] ^= 1 << r.below(8)
      return spoilt
    case 1:
      spoilt[at] = r.pick([0, 1, 0x7f, 0x80, 0xff])
      return spoilt
    case 2:
      return spoilt.subarray(0, at)
    case 3:
      return Buffer.concat([spoilt.subarray(0, at), spoilt.subarray(r.below(spoilt.length))])
    default:
      return Buffer.concat([spoilt.subarray(0, at), r.bytes(1 + r.below(4)), spoilt.subarray(at)])
  }
}
