// Sound packets of all three versions, as trees.
import { binary, packet, properties, property, raw, text, u8, u16, u32, varint } from './packet-shape.mjs'

const topics = [
  'a',
  'a/b',
  '__proto__',
  'constructor/toString',
  '/',
  '//',
  'a/'.repeat(60),
  '$SYS/x',
  'slow',
  'é',
  'denied',
  'b/c/d',
]
const filters = [
  '#',
  '+',
  'a/#',
  'a/+',
  '+/b',
  '__proto__',
  '$share/g/#',
  '$share/h/a/+',
  '/',
  '+/'.repeat(40),
  'slow',
  'denied',
  ...topics,
]
const texts = ['', 'a', '__proto__', 'constructor', 'é😀', 'x'.repeat(300)]
const identifiers = [
  '',
  'a',
  'b',
  'c',
  'd',
  '__proto__',
  'hasOwnProperty',
  'é',
  'much-longer-than-the-23-characters-of-3.1',
]

/** Every property (MQTT 5.0 section 2.2.2.2): its identifier and a maker of its fields. */
const propertyMakers = {
  1: (r) => [u8(r.pick([0, 1, 2]))],
  2: (r) => [u32(r.pick([0, 1, 60, 0xffffffff]))],
  3: (r) => [text(r.pick(texts))],
  8: (r) => [text(r.pick(topics))],
  9: (r) => [binary(r.bytes(r.below(20)))],
  11: (r) => [varint(r.pick([1, 7, 128, 268_435_455]))],
  17: (r) => [u32(r.pick([0, 1, 2, 0xffffffff]))],
  18: (r) => [text(r.pick(texts))],
  19: (r) => [u16(r.below(65_536))],
  21: (r) => [text(r.pick(['PLAIN', 'SLOW', 'unknown', '']))],
  22: (r) => [binary(r.bytes(r.below(40)))],
  23: (r) => [u8(r.below(3))],
  24: (r) => [u32(r.pick([0, 1, 2, 0xffffffff]))],
  25: (r) => [u8(r.below(3))],
  26: (r) => [text(r.pick(texts))],
  28: (r) => [text(r.pick(texts))],
  31: (r) => [text(r.pick(texts))],
  33: (r) => [u16(r.pick([1, 2, 20, 65_535]))],
  34: (r) => [u16(r.pick([0, 1, 4, 65_535]))],
  35: (r) => [u16(r.pick([1, 2, 3, 100, 101, 65_535]))],
  36: (r) => [u8(r.below(3))],
  37: (r) => [u8(r.below(3))],
  38: (r) => [text(r.pick(texts)), text(r.pick(texts))],
  39: (r) => [u32(r.pick([20, 100, 100_000, 0xffffffff]))],
  40: (r) => [u8(r.below(3))],
  41: (r) => [u8(r.below(3))],
  42: (r) => [u8(r.below(3))],
}
const propertyIds = Object.keys(propertyMakers).map(Number)

/** Those that a packet may have. */
const allowed = {
  connect: [17, 21, 22, 23, 25, 33, 34, 38, 39],
  will: [1, 2, 3, 8, 9, 24, 38],
  publish: [1, 2, 3, 8, 9, 35, 38],
  acknowledgement: [31, 38],
  subscribe: [11, 38],
  unsubscribe: [38],
  disconnect: [17, 31, 38],
  auth: [21, 22, 31, 38],
}

export function anyProperty(r, id = r.pick(propertyIds)) {
  return property(varint(id), ...propertyMakers[id](r))
}

/** Some of the properties that a packet may have, each once but for User Properties, in any order. */
function someProperties(r, of) {
  const chosen = of.filter((id) => r.chance(id === 21 || id === 22 ? 0.03 : 0.25))
  if (r.chance(0.1)) chosen.push(38)
  for (let i = chosen.length - 1; i > 0; i--) {
    const j = r.below(i + 1)
    const other = chosen[i]
    chosen[i] = chosen[j]
    chosen[j] = other
  }
  return properties(chosen.map((id) => anyProperty(r, id)))
}

const identifier = (r) => u16(1 + r.below(30))

/** A CONNECT of a version: 3, 4 or 5. */
export function connect(r, version) {
  const hasWill = r.chance(0.3)
  const qos = r.below(3)
  const retain = r.chance(0.1)
  const username = r.chance(0.3)
  const password = username && r.chance(0.8)
  const flags =
    (username << 7) |
    (password << 6) |
    (retain && hasWill ? 32 : 0) |
    (hasWill ? (qos << 3) | 4 : 0) |
    (r.chance(0.5) ? 2 : 0)
  const will = hasWill
    ? [...(version === 5 ? [someProperties(r, allowed.will)] : []), text(r.pick(topics)), binary(r.pick(texts))]
    : []
  return packet('connect', 0x10, [
    text(version === 3 ? 'MQIsdp' : 'MQTT'),
    u8(version),
    u8(flags),
    u16(r.pick([0, 1, 60, 65_535])),
    ...(version === 5 ? [someProperties(r, allowed.connect)] : []),
    text(r.pick(identifiers)),
    ...will,
    ...(username ? [text(r.pick(texts))] : []),
    ...(password ? [binary('p')] : []),
  ])
}

function publish(r, version) {
  const qos = r.below(3)
  const first = 0x30 | (qos > 0 && r.chance(0.1) ? 8 : 0) | (qos << 1) | (r.chance(0.05) ? 1 : 0)
  const topic = text(version === 5 && r.chance(0.1) ? '' : r.pick(topics))
  return packet('publish', first, [
    topic,
    ...(qos > 0 ? [identifier(r)] : []),
    ...(version === 5 ? [someProperties(r, allowed.publish)] : []),
    raw(r.chance(0.01) ? Buffer.alloc(20_000) : r.pick(texts)),
  ])
}

function acknowledgement(r, version) {
  const kind = r.pick([4, 5, 6, 7])
  const more = version === 5 && r.chance(0.4)
  const codes = kind <= 5 ? [0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99] : [0, 0x92]
  return packet('acknowledgement', (kind << 4) | (kind === 6 ? 2 : 0), [
    identifier(r),
    ...(more ? [u8(r.pick(codes))] : []),
    ...(more && r.chance(0.5) ? [someProperties(r, allowed.acknowledgement)] : []),
  ])
}

function subscribe(r, version) {
  const options = () => r.below(3) | (version === 5 ? (r.below(2) << 2) | (r.below(2) << 3) | (r.below(3) << 4) : 0)
  const requests = Array.from({ length: 1 + r.below(4) }, () => [text(r.pick(filters)), u8(options())])
  const block = version === 5 ? [someProperties(r, allowed.subscribe)] : []
  return packet('subscribe', 0x82, [identifier(r), ...block, ...requests.flat()])
}

function unsubscribe(r, version) {
  const block = version === 5 ? [someProperties(r, allowed.unsubscribe)] : []
  const gone = Array.from({ length: 1 + r.below(3) }, () => text(r.pick(filters)))
  return packet('unsubscribe', 0xa2, [identifier(r), ...block, ...gone])
}

function disconnect(r, version) {
  if (version < 5 || r.chance(0.3)) return packet('disconnect', 0xe0, [])
  const block = r.chance(0.5) ? [someProperties(r, allowed.disconnect)] : []
  return packet('disconnect', 0xe0, [u8(r.pick([0, 4, 0x80, 0x81, 0x93])), ...block])
}

function auth(r) {
  return packet('auth', 0xf0, r.chance(0.2) ? [] : [u8(r.pick([0, 0x18, 0x19])), someProperties(r, allowed.auth)])
}

const serverOnly = (r) => packet('server-only', r.pick([0x20, 0x90, 0xb0, 0xd0, 0x00]), [u16(1), u8(0)])

/** A packet after CONNECT. */
export function anyPacket(r, version) {
  const choice = r.next()
  if (choice < 0.45) return publish(r, version)
  if (choice < 0.6) return subscribe(r, version)
  if (choice < 0.65) return unsubscribe(r, version)
  if (choice < 0.9) return acknowledgement(r, version)
  if (choice < 0.96) return packet('pingreq', 0xc0, [])
  if (choice < 0.975) return disconnect(r, version)
  if (choice < 0.99) return auth(r)
  if (choice < 0.995) return connect(r, version)
  return serverOnly(r)
}
