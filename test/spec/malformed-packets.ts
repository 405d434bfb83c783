import { binary, block, bytes, packet, string, u16, u32, variable } from '../protocol/packet-bytes'
import type { Version } from '../support/raw-client'

/** Bytes that a broker must refuse, and the Reason Codes that MQTT 5.0 allows for it. */
export interface Malformed {
  readonly name: string
  readonly bytes: Buffer
  /** `undefined` among them: the connection may close without a word. */
  readonly codes: readonly (number | undefined)[]
}

type Part = number | Uint8Array

const surrogate = binary(Buffer.from([0x61, 0xed, 0xa0, 0x80]))
const notUtf8 = binary(Buffer.from([0x61, 0xc3, 0x28]))
const overlong = binary(Buffer.from([0xc0, 0xaf]))
const nul = binary(Buffer.from([0x61, 0x00]))
/** A length of 9 with two bytes behind it. */
const cut = bytes(u16(9), 0x61, 0x61)

const M = [0x81]
const P = [0x82]
const MP = [0x81, 0x82]
const TOPIC = [0x81, 0x82, 0x90]

const row = (name: string, whole: Buffer, codes: readonly (number | undefined)[]): Malformed => ({
  name,
  bytes: whole,
  codes,
})

/** First packets that are no CONNECT: closed without a word. */
export function firstPackets(version: Version): Malformed[] {
  const none = version === 5 ? block() : Buffer.alloc(0)
  const silent = [undefined]
  return [
    row('type 0', packet(0x00), silent),
    row('CONNACK', packet(0x20, 0, 0), silent),
    row('PUBLISH', packet(0x30, string('a'), none, 0x61), silent),
    row('PUBLISH of QoS 1', packet(0x32, string('a'), u16(1), none), silent),
    row('PUBACK', packet(0x40, u16(1)), silent),
    row('PUBREL', packet(0x62, u16(1)), silent),
    row('SUBSCRIBE', packet(0x82, u16(1), none, string('a'), 0), silent),
    row('UNSUBSCRIBE', packet(0xa2, u16(1), none, string('a')), silent),
    row('PINGREQ', packet(0xc0), silent),
    row('DISCONNECT', packet(0xe0), silent),
    row('AUTH', packet(0xf0, 0x18, block(bytes(21, string('m')))), silent),
    row('a request of HTTP', Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'), silent),
    row('a ClientHello of TLS', bytes(0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3), silent),
    row('CONNECT of 256 MB', bytes(0x10, 0xff, 0xff, 0xff, 0x7f), [undefined, 0x95]),
    row('CONNECT above the limit before CONNECT', bytes(0x10, variable(100_000)), [undefined, 0x95]),
    row('CONNECT with a length of five bytes', bytes(0x10, 0xff, 0xff, 0xff, 0xff, 0x01), [undefined, 0x81]),
  ]
}

/** CONNECT packets of a wrong form. */
export function connects(version: Version): Malformed[] {
  const none = version === 5 ? block() : Buffer.alloc(0)
  const level = [string('MQTT'), version]
  const head = (flags: number): Part[] => [...level, flags, u16(0), none]
  const connect = (flags: number, ...payload: Part[]): Buffer => packet(0x10, ...head(flags), ...payload)
  const id = string('c')
  const withWill = (topic: Part, ...rest: Part[]): Buffer => connect(0x06, id, none, topic, ...rest)
  const rows = [
    row('empty', packet(0x10), [undefined, 0x81]),
    row('a Protocol Name that is cut', packet(0x10, u16(4), 0x4d), [undefined, 0x81]),
    row('no Protocol Version', packet(0x10, string('MQTT')), [undefined, 0x81]),
    row('no Connect Flags', packet(0x10, ...level), M),
    row('no Keep Alive', packet(0x10, ...level, 2), M),
    row('half a Keep Alive', packet(0x10, ...level, 2, 0), M),
    row('no payload', packet(0x10, ...head(2)), M),
    row('a Client Identifier that is cut', connect(2, cut), M),
    row('a byte too many', connect(2, id, 0), M),
    row('a User Name that no flag announces', connect(2, id, string('u')), M),
    row('the reserved flag', connect(3, id), M),
    row('Will QoS 3', connect(0x1e, id, none, string('w'), string('p')), M),
    row('Will QoS without Will', connect(0x0a, id), M),
    row('Will Retain without Will', connect(0x22, id), M),
    row('a Will Flag without Will', connect(0x06, id), M),
    row('a Will without payload', withWill(string('w')), M),
    row('a Will whose payload is cut', withWill(string('w'), cut), M),
    row('an empty Will Topic', withWill(string(''), string('p')), M),
    row('a Will Topic with #', withWill(string('a/#'), string('p')), M),
    row('a Will Topic with +', withWill(string('+'), string('p')), M),
    row('a Will Topic that is not UTF-8', withWill(notUtf8, string('p')), M),
    row('a Will Topic with U+0000', withWill(nul, string('p')), M),
    row('a Will Topic of 200 levels', withWill(string('a/'.repeat(200)), string('p')), TOPIC),
    row('a User Name Flag without User Name', connect(0x82, id), M),
    row('a User Name that is cut', connect(0x82, id, cut), M),
    row('a User Name that is not UTF-8', connect(0x82, id, overlong), M),
    row('a User Name with U+0000', connect(0x82, id, nul), M),
    row('a Password Flag without Password', connect(0xc2, id, string('u')), M),
    row('a Password that is cut', connect(0xc2, id, string('u'), cut), M),
    row('a Client Identifier that is not UTF-8', connect(2, notUtf8), [0x81, 0x85]),
    row('a Client Identifier with a surrogate', connect(2, surrogate), [0x81, 0x85]),
    row('a Client Identifier with U+0000', connect(2, nul), [0x81, 0x85]),
    row('an unknown Protocol Name', packet(0x10, string('MQXX'), version, 2, u16(0), none, id), [undefined, 0x84, 1]),
    row('Protocol Version 0', packet(0x10, string('MQTT'), 0, 2, u16(0), none, id), [undefined, 0x84, 1]),
    row('Protocol Version 6', packet(0x10, string('MQTT'), 6, 2, u16(0), none, id), [undefined, 0x84, 1]),
    row('Protocol Version 255', packet(0x10, string('MQTT'), 255, 2, u16(0), none, id), [undefined, 0x84, 1]),
    ...[0x11, 0x12, 0x14, 0x18, 0x1f].map((first) =>
      row(`the first byte ${first.toString(16)}`, packet(first, ...head(2), id), M),
    ),
  ]
  if (version !== 5) {
    rows.push(
      row('a Password without User Name', connect(0x42, id, string('p')), M),
      row('no Client Identifier for a session that is kept', connect(0x00, string('')), [0x85]),
    )
  } else {
    rows.push(
      row('no Property Length', packet(0x10, ...level, 2, u16(0)), M),
      row('properties beyond the end', packet(0x10, ...level, 2, u16(0), 50, 17, u32(1), id), M),
      row('a Property Length of five bytes', packet(0x10, ...level, 2, u16(0), 0x80, 0x80, 0x80, 0x80, 1, id), M),
      row('a padded Property Length', packet(0x10, ...level, 2, u16(0), 0x80, 0, id), M),
      row('Will Properties beyond the end', connect(0x06, id, 90, string('w'), string('p')), M),
      row(
        'Authentication Data without a method',
        packet(0x10, ...level, 2, u16(0), block(bytes(22, string('d'))), id),
        P,
      ),
    )
  }
  return rows
}

/** What a client that is connected may not send. */
export function laterPackets(version: Version): Malformed[] {
  return [
    ...fixedHeaders(version),
    ...publishes(version),
    ...acknowledgements(version),
    ...subscriptions(version),
    ...ends(version),
  ]
}

function fixedHeaders(version: Version): Malformed[] {
  const none = version === 5 ? block() : Buffer.alloc(0)
  const rows = [
    row('type 0', packet(0x00), M),
    row('type 0 with a body', packet(0x05, 1, 2, 3), M),
    row('a second CONNECT', packet(0x10, string('MQTT'), version, 2, u16(0), none, string('c')), P),
    row('CONNACK', packet(0x20, 0, 0), P),
    row('SUBACK', packet(0x90, u16(1), none, 0), P),
    row('UNSUBACK', packet(0xb0, u16(1), none), P),
    row('PINGRESP', packet(0xd0), P),
    row('AUTH without an Authentication Method in CONNECT', packet(0xf0, 0x18, block(bytes(21, string('m')))), MP),
    row('an empty AUTH', packet(0xf0), MP),
    row('a packet of 256 MB', bytes(0x30, 0xff, 0xff, 0xff, 0x7f), [0x95]),
    row('a length of five bytes', bytes(0x30, 0xff, 0xff, 0xff, 0xff, 0x01), M),
    row('a length that does not end', bytes(0x30, 0x80, 0x80, 0x80, 0x80), M),
    row('PINGREQ with a body', packet(0xc0, 0), M),
    row('PINGREQ with flags', packet(0xc1), M),
  ]
  if (version === 5) rows.push(row('a padded length', bytes(0xc0, 0x80, 0x00), M))
  return rows
}

function publishes(version: Version): Malformed[] {
  const none = version === 5 ? block() : Buffer.alloc(0)
  const publish = (topic: Part): Buffer => packet(0x30, topic, none, 0x61)
  const rows = [
    row('PUBLISH without anything', packet(0x30), M),
    row('PUBLISH with half a topic length', packet(0x30, 0), M),
    row('PUBLISH whose topic is cut', packet(0x30, cut), M),
    row('PUBLISH of QoS 3', packet(0x36, string('a'), u16(1), none), M),
    row('PUBLISH of QoS 0 with DUP', packet(0x38, string('a'), none), MP),
    row('PUBLISH of QoS 1 without identifier', packet(0x32, string('a')), M),
    row('PUBLISH of QoS 2 with half an identifier', packet(0x34, string('a'), 1), M),
    row('PUBLISH of QoS 1 with identifier 0', packet(0x32, string('a'), u16(0), none), MP),
    row('PUBLISH of QoS 2 with identifier 0', packet(0x34, string('a'), u16(0), none), MP),
    row('PUBLISH to #', publish(string('#')), TOPIC),
    row('PUBLISH to a/+/b', publish(string('a/+/b')), TOPIC),
    row('PUBLISH to a+', publish(string('a+')), TOPIC),
    row('PUBLISH to a topic that is not UTF-8', publish(notUtf8), TOPIC),
    row('PUBLISH to a topic with a surrogate', publish(surrogate), TOPIC),
    row('PUBLISH to a topic with an overlong slash', publish(overlong), TOPIC),
    row('PUBLISH to a topic with U+0000', publish(nul), TOPIC),
    row('PUBLISH to 129 levels', publish(string('a/'.repeat(128))), TOPIC),
    row('PUBLISH to 65,535 slashes', publish(string('/'.repeat(65_535))), TOPIC),
    row('PUBLISH without a topic', publish(string('')), TOPIC),
  ]
  if (version !== 5) return rows
  const alias = (value: number): Buffer => block(bytes(35, u16(value)))
  return [
    ...rows,
    row('PUBLISH without Property Length', packet(0x30, string('a')), M),
    row('PUBLISH with properties beyond its end', packet(0x30, string('a'), 9, 1, 1), M),
    row('PUBLISH with a padded Property Length', packet(0x30, string('a'), 0x80, 0x00), M),
    row('PUBLISH with Topic Alias 0', packet(0x30, string('a'), alias(0)), [0x94]),
    row('PUBLISH with a Topic Alias above the maximum', packet(0x30, string('a'), alias(101)), [0x94]),
    row('PUBLISH with a Topic Alias above the maximum and no topic', packet(0x30, string(''), alias(65_535)), [0x94]),
    row('PUBLISH with a Topic Alias that has no topic yet', packet(0x30, string(''), alias(5)), P),
    row('PUBLISH that gives an alias to a topic with +', packet(0x30, string('+'), alias(5)), TOPIC),
  ]
}

function acknowledgements(version: Version): Malformed[] {
  const rows: Malformed[] = []
  for (const [name, first] of [
    ['PUBACK', 0x40],
    ['PUBREC', 0x50],
    ['PUBREL', 0x62],
    ['PUBCOMP', 0x70],
  ] as const) {
    rows.push(
      row(`${name} without anything`, packet(first), M),
      row(`${name} with half an identifier`, packet(first, 1), M),
      row(`${name} with identifier 0`, packet(first, u16(0)), MP),
      row(`${name} with other flags`, packet(first ^ 2, u16(1)), M),
      row(`${name} with a reserved flag`, packet(first | 8, u16(1)), M),
    )
    if (version === 5) {
      rows.push(
        row(`${name} with an unknown Reason Code`, packet(first, u16(1), 0x7f), MP),
        row(`${name} with a Reason Code of another packet`, packet(first, u16(1), 0x8e), MP),
        row(`${name} with properties beyond its end`, packet(first, u16(1), 0, 9, 38), M),
        row(`${name} with a byte behind its properties`, packet(first, u16(1), 0, 0, 0), M),
        row(`${name} with a padded Property Length`, packet(first, u16(1), 0, 0x80, 0x00), M),
      )
    } else rows.push(row(`${name} with a byte too many`, packet(first, u16(1), 0), M))
  }
  return rows
}

function subscriptions(version: Version): Malformed[] {
  const none = version === 5 ? block() : Buffer.alloc(0)
  const subscribe = (...parts: Part[]): Buffer => packet(0x82, u16(1), none, ...parts)
  const unsubscribe = (...parts: Part[]): Buffer => packet(0xa2, u16(1), none, ...parts)
  const rows = [
    row('SUBSCRIBE without anything', packet(0x82), M),
    row('SUBSCRIBE with identifier 0', packet(0x82, u16(0), none, string('a'), 0), MP),
    row('SUBSCRIBE without filters', subscribe(), P),
    row('SUBSCRIBE whose filter is cut', subscribe(cut), M),
    row('SUBSCRIBE without options', subscribe(string('a')), M),
    row('SUBSCRIBE whose second filter has no options', subscribe(string('a'), 0, string('b')), M),
    row('SUBSCRIBE with QoS 3', subscribe(string('a'), 3), MP),
    row('SUBSCRIBE with reserved options', subscribe(string('a'), 0x40), M),
    row('SUBSCRIBE with reserved options in the second filter', subscribe(string('a'), 0, string('b'), 0x81), M),
    row('SUBSCRIBE with an empty filter', subscribe(string(''), 0), M),
    row('SUBSCRIBE with a filter that is not UTF-8', subscribe(notUtf8, 0), M),
    row('SUBSCRIBE with U+0000 in its filter', subscribe(nul, 0), M),
    row('UNSUBSCRIBE without anything', packet(0xa2), M),
    row('UNSUBSCRIBE with identifier 0', packet(0xa2, u16(0), none, string('a')), MP),
    row('UNSUBSCRIBE without filters', unsubscribe(), P),
    row('UNSUBSCRIBE whose filter is cut', unsubscribe(cut), M),
    row('UNSUBSCRIBE with an empty filter', unsubscribe(string('')), M),
    row('UNSUBSCRIBE with a filter that is not UTF-8', unsubscribe(surrogate), M),
    ...[0, 1, 3, 6, 10].flatMap((flags) => [
      row(`SUBSCRIBE with the flags ${flags}`, packet(0x80 | flags, u16(1), none, string('a'), 0), M),
      row(`UNSUBSCRIBE with the flags ${flags}`, packet(0xa0 | flags, u16(1), none, string('a')), M),
    ]),
  ]
  if (version !== 5) return rows
  return [
    ...rows,
    row('SUBSCRIBE with Retain Handling 3', subscribe(string('a'), 0x30), P),
    row('SUBSCRIBE with No Local on a Shared Subscription', subscribe(string('$share/g/a'), 4), P),
    row('SUBSCRIBE without Property Length', packet(0x82, u16(1)), M),
    row('SUBSCRIBE with properties beyond its end', packet(0x82, u16(1), 30, string('a'), 0), M),
    row('SUBSCRIBE with Subscription Identifier 0', packet(0x82, u16(1), block(bytes(11, 0)), string('a'), 0), P),
    row(
      'SUBSCRIBE with a Subscription Identifier of five bytes',
      packet(0x82, u16(1), block(bytes(11, 0xff, 0xff, 0xff, 0xff, 1)), string('a'), 0),
      M,
    ),
    row('UNSUBSCRIBE with properties beyond its end', packet(0xa2, u16(1), 30, string('a')), M),
  ]
}

function ends(version: Version): Malformed[] {
  const rows = [1, 2, 4, 8].map((flags) => row(`DISCONNECT with the flags ${flags}`, packet(0xe0 | flags), M))
  if (version !== 5) return [...rows, row('DISCONNECT with a body', packet(0xe0, 0), M)]
  return [
    ...rows,
    row('DISCONNECT with an unknown Reason Code', packet(0xe0, 0x7f), MP),
    row('DISCONNECT with a Reason Code of the server', packet(0xe0, 0x8e), MP),
    row('DISCONNECT with properties beyond its end', packet(0xe0, 0, 9), M),
    row('DISCONNECT with a byte behind its properties', packet(0xe0, 0, 0, 0), M),
    row('DISCONNECT that revives a session', packet(0xe0, 0, block(bytes(17, u32(5)))), P),
  ]
}

/** Whole and right packets of every kind that a client may send, for a test that cuts and changes them. */
export function samples(version: Version): Buffer[] {
  const v5 = version === 5
  const some = v5 ? block(bytes(38, string('n'), string('v'))) : Buffer.alloc(0)
  const reason = v5 ? [0, block(bytes(31, string('why')))] : []
  return [
    packet(0x30, string('a/b'), v5 ? block(bytes(2, u32(9)), bytes(8, string('r'))) : Buffer.alloc(0), 0x61),
    packet(0x33, string('a/b'), u16(7), some, 0x61),
    packet(0x34, string('a/b'), u16(8), some, 0x61),
    packet(0x40, u16(1), ...reason),
    packet(0x50, u16(1), ...reason),
    packet(0x62, u16(8), ...reason),
    packet(0x70, u16(1), ...reason),
    packet(0x82, u16(2), some, string('x/+'), 1, string('y/#'), 2),
    packet(0xa2, u16(3), some, string('x/+'), string('y/#')),
    packet(0xc0),
    v5 ? packet(0xe0, 4, block(bytes(31, string('bye')))) : packet(0xe0),
  ]
}
