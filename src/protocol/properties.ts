import { Cursor } from './cursor'
import { MqttError, malformed, protocolError } from './mqtt-error'
import { hasWildcardByte } from './topic'

/** Property Identifiers (MQTT 5.0 section 2.2.2.2). */
export const Property = {
  PayloadFormatIndicator: 1,
  MessageExpiryInterval: 2,
  ContentType: 3,
  ResponseTopic: 8,
  CorrelationData: 9,
  SubscriptionIdentifier: 11,
  SessionExpiryInterval: 17,
  AssignedClientIdentifier: 18,
  ServerKeepAlive: 19,
  AuthenticationMethod: 21,
  AuthenticationData: 22,
  RequestProblemInformation: 23,
  WillDelayInterval: 24,
  RequestResponseInformation: 25,
  ResponseInformation: 26,
  ServerReference: 28,
  ReasonString: 31,
  ReceiveMaximum: 33,
  TopicAliasMaximum: 34,
  TopicAlias: 35,
  MaximumQoS: 36,
  RetainAvailable: 37,
  UserProperty: 38,
  MaximumPacketSize: 39,
  WildcardSubscriptionAvailable: 40,
  SubscriptionIdentifierAvailable: 41,
  SharedSubscriptionAvailable: 42,
} as const

/** What carries a property block that a client sends, as bits. PUBLISH is scanned in place, in publish-properties. */
export const Carrier = {
  Connect: 1,
  Will: 2,
  Acknowledgement: 4,
  Subscribe: 8,
  Unsubscribe: 16,
  Disconnect: 32,
  Auth: 64,
} as const
export type Carrier = (typeof Carrier)[keyof typeof Carrier]

export type PropertyType = 'byte' | 'uint16' | 'uint32' | 'variable' | 'string' | 'binary' | 'pair'

interface PropertyRow {
  name: string
  type: PropertyType
  /** Carriers in which a client may send it. */
  carriers: number
  /** `bit`: 0 or 1. `positive`: not 0. Anything else is a Protocol Error. `topic`: a Topic Name, else 0x81. */
  rule?: 'bit' | 'positive' | 'topic'
}

const { Connect, Will, Acknowledgement, Subscribe, Unsubscribe, Disconnect, Auth } = Carrier
const everyCarrier = Connect | Will | Acknowledgement | Subscribe | Unsubscribe | Disconnect | Auth

/** Every property by its identifier: name, type, the packets that may carry it, and its range. */
const rows: ReadonlyMap<number, PropertyRow> = new Map<number, PropertyRow>([
  [Property.PayloadFormatIndicator, { name: 'Payload Format Indicator', type: 'byte', carriers: Will, rule: 'bit' }],
  [Property.MessageExpiryInterval, { name: 'Message Expiry Interval', type: 'uint32', carriers: Will }],
  [Property.ContentType, { name: 'Content Type', type: 'string', carriers: Will }],
  [Property.ResponseTopic, { name: 'Response Topic', type: 'string', carriers: Will, rule: 'topic' }],
  [Property.CorrelationData, { name: 'Correlation Data', type: 'binary', carriers: Will }],
  [
    Property.SubscriptionIdentifier,
    { name: 'Subscription Identifier', type: 'variable', carriers: Subscribe, rule: 'positive' },
  ],
  [Property.SessionExpiryInterval, { name: 'Session Expiry Interval', type: 'uint32', carriers: Connect | Disconnect }],
  [Property.AssignedClientIdentifier, { name: 'Assigned Client Identifier', type: 'string', carriers: 0 }],
  [Property.ServerKeepAlive, { name: 'Server Keep Alive', type: 'uint16', carriers: 0 }],
  [Property.AuthenticationMethod, { name: 'Authentication Method', type: 'string', carriers: Connect | Auth }],
  [Property.AuthenticationData, { name: 'Authentication Data', type: 'binary', carriers: Connect | Auth }],
  [
    Property.RequestProblemInformation,
    { name: 'Request Problem Information', type: 'byte', carriers: Connect, rule: 'bit' },
  ],
  [Property.WillDelayInterval, { name: 'Will Delay Interval', type: 'uint32', carriers: Will }],
  [
    Property.RequestResponseInformation,
    { name: 'Request Response Information', type: 'byte', carriers: Connect, rule: 'bit' },
  ],
  [Property.ResponseInformation, { name: 'Response Information', type: 'string', carriers: 0 }],
  [Property.ServerReference, { name: 'Server Reference', type: 'string', carriers: 0 }],
  [Property.ReasonString, { name: 'Reason String', type: 'string', carriers: Acknowledgement | Disconnect | Auth }],
  [Property.ReceiveMaximum, { name: 'Receive Maximum', type: 'uint16', carriers: Connect, rule: 'positive' }],
  [Property.TopicAliasMaximum, { name: 'Topic Alias Maximum', type: 'uint16', carriers: Connect }],
  [Property.TopicAlias, { name: 'Topic Alias', type: 'uint16', carriers: 0 }],
  [Property.MaximumQoS, { name: 'Maximum QoS', type: 'byte', carriers: 0 }],
  [Property.RetainAvailable, { name: 'Retain Available', type: 'byte', carriers: 0 }],
  [Property.UserProperty, { name: 'User Property', type: 'pair', carriers: everyCarrier }],
  [Property.MaximumPacketSize, { name: 'Maximum Packet Size', type: 'uint32', carriers: Connect, rule: 'positive' }],
  [Property.WildcardSubscriptionAvailable, { name: 'Wildcard Subscription Available', type: 'byte', carriers: 0 }],
  [Property.SubscriptionIdentifierAvailable, { name: 'Subscription Identifier Available', type: 'byte', carriers: 0 }],
  [Property.SharedSubscriptionAvailable, { name: 'Shared Subscription Available', type: 'byte', carriers: 0 }],
])

/** The name and type of a property. Throws 0x81 for an identifier that MQTT does not know. */
export function propertyRow(identifier: number): Readonly<PropertyRow> {
  const row = rows.get(identifier)
  if (row === undefined) throw malformed(`property ${identifier} is not one of MQTT 5.0: leave it out [MQTT-2.2.2-2]`)
  return row
}

/** User Properties in one packet, and bytes of all its properties: what is read of one packet takes a millisecond at the most. */
const MAXIMUM_USER_PROPERTIES = 1000
export const MAXIMUM_PROPERTY_BYTES = 128 * 1024
/** The same of a PUBLISH, whose Correlation Data, Content Type and Response Topic may have 64 KiB each besides. */
export const MAXIMUM_PUBLISH_PROPERTY_BYTES = 320 * 1024

/** What a property block says. Nothing of it points into the packet. */
export class PropertyBlock {
  userProperties: Array<readonly [string, string]> | undefined = undefined
  private values: Map<number, PropertyValue> | undefined = undefined

  has(identifier: number): boolean {
    return this.values !== undefined && this.values.has(identifier)
  }

  set(identifier: number, value: PropertyValue): void {
    this.values ??= new Map()
    this.values.set(identifier, value)
  }

  number(identifier: number): number | undefined {
    return this.values?.get(identifier) as number | undefined
  }

  text(identifier: number): string | undefined {
    return this.values?.get(identifier) as string | undefined
  }

  binary(identifier: number): Buffer | undefined {
    return this.values?.get(identifier) as Buffer | undefined
  }
}

type PropertyValue = number | string | Buffer

/** Reads the Property Length at the cursor and the block behind it. Throws 0x81, 0x82, or 0x97 for more than there may be. */
export function readProperties(cursor: Cursor, carrier: Carrier): PropertyBlock {
  const length = cursor.variableByteInteger('Property Length')
  const block = new Cursor(cursor.bytes, cursor.offset, cursor.offset + length)
  if (block.end > cursor.end) throw malformed('Property Length goes beyond the end of its packet')
  cursor.offset = block.end
  return readPropertyBlock(block, carrier)
}

/** Reads a block's content, after its Property Length, to the cursor's end, each byte once. Throws as `readProperties` does. */
export function readPropertyBlock(cursor: Cursor, carrier: Carrier): PropertyBlock {
  const block = new PropertyBlock()
  checkPropertyBytes(cursor.end - cursor.offset)
  while (!cursor.done) {
    const identifier = cursor.variableByteInteger('Property Identifier')
    const row = propertyRow(identifier)
    if ((row.carriers & carrier) === 0) throw refusal(row.name, identifier, carrier)
    if (row.type === 'pair') {
      block.userProperties ??= []
      checkUserProperties(block.userProperties.length + 1)
      block.userProperties.push([
        cursor.text('the name of a User Property'),
        cursor.text('the value of a User Property'),
      ])
      continue
    }
    if (block.has(identifier)) throw protocolError(`${row.name} comes twice: send it once`)
    block.set(identifier, readValue(cursor, row))
  }
  if (block.has(Property.AuthenticationData) && !block.has(Property.AuthenticationMethod)) {
    throw protocolError('Authentication Data comes without Authentication Method: name the method')
  }
  if (carrier === Carrier.Auth && !block.has(Property.AuthenticationMethod)) {
    throw protocolError('AUTH has no Authentication Method: name the method of the CONNECT')
  }
  return block
}

export function checkUserProperties(count: number): void {
  if (count <= MAXIMUM_USER_PROPERTIES) return
  const text = `more than ${MAXIMUM_USER_PROPERTIES} User Properties in one packet: send fewer`
  throw new MqttError('GNATMQ_QUOTA_EXCEEDED', text)
}

export function checkPropertyBytes(bytes: number, maximum = MAXIMUM_PROPERTY_BYTES): void {
  if (bytes <= maximum) return
  const text = `properties of ${bytes} bytes, ${maximum} are allowed: send fewer`
  throw new MqttError('GNATMQ_QUOTA_EXCEEDED', text)
}

function refusal(name: string, identifier: number, carrier: Carrier) {
  // DISCONNECT may carry it, but only the server's may (section 3.14.2.2.5): so it is not malformed
  if (identifier === Property.ServerReference && carrier === Carrier.Disconnect) {
    return protocolError('Server Reference comes from a client: only a server sends it')
  }
  return malformed(`${name} does not belong into this packet: leave it out [MQTT-2.2.2-2]`)
}

function readValue(cursor: Cursor, row: Readonly<PropertyRow>): PropertyValue {
  const from = cursor.offset + 2
  const value = skipValue(cursor, row)
  if (row.rule === 'bit' && value > 1) throw protocolError(`${row.name} is ${value}: it must be 0 or 1`)
  if (row.rule === 'positive' && value === 0) throw protocolError(`${row.name} is 0: it must be at least 1`)
  if (row.rule === 'topic' && (value === 0 || hasWildcardByte(cursor.bytes, from, cursor.offset))) {
    throw malformed(`${row.name} is empty or holds a wildcard: it must be a Topic Name [MQTT-3.3.2-14]`)
  }
  if (row.type === 'string') return cursor.bytes.toString('utf8', from, cursor.offset)
  return row.type === 'binary' ? cursor.copy(from, cursor.offset) : value
}

/** Moves past a value; returns a number's value, and a string's or binary's length. */
export function skipValue(cursor: Cursor, row: Readonly<PropertyRow>): number {
  switch (row.type) {
    case 'byte':
      return cursor.byte(row.name)
    case 'uint16':
      return cursor.uint16(row.name)
    case 'uint32':
      return cursor.uint32(row.name)
    case 'variable':
      return cursor.variableByteInteger(row.name)
    case 'string':
      return cursor.string(row.name)
    case 'binary':
      return cursor.binary(row.name)
    case 'pair':
      return cursor.string(row.name) + cursor.string(row.name)
  }
}
