import type { Duplex } from 'node:stream'
import mqttPacket, { type IPublishPacket, type Packet } from 'mqtt-packet'
import { type Outcomes, outcomeOf, type Received } from './outcome'
import type { Answers, ConnectStep, PublishStep, Step, Version } from './step'

/** A message that the client has published and whose exchange is not over. */
interface Pending {
  identifier: number
  publish: PublishStep
  /** What it sends when it comes back, and for QoS 2 when it goes on. */
  next: 'publish' | 'release'
}

/** A message that the client has received, by its Packet Identifier. */
interface Incoming {
  payload: string
  qos: number
  /** True between the client's PUBREC and its PUBCOMP. */
  held: boolean
  /** What the client owes for it on this connection, if its answers have stopped. */
  owed: Packet | undefined
}

/** What the participants of a history have in common. */
export interface Stage {
  connect(): Duplex
  /** Counts whatever moves. */
  activity: number
  observed: Outcomes<Received>
  /** What no client may ever see, whatever the reference says. */
  faults: string[]
}

/** A client that keeps its own state across connections, as the specification asks of it (section 4.1). */
export class Participant {
  readonly id: string
  connectionKey = ''
  version: Version = 4
  /** Seconds, of the CONNECT. */
  sessionExpiry = 0
  pending: Pending[] = []
  private readonly stage: Stage
  private stream: Duplex | undefined
  private connections = 0
  private answers: Answers = 'all'
  private receiveMaximum = 65535
  private topicAliasMaximum = 0
  private incoming = new Map<number, Incoming>()
  /** What was last received with QoS 1 under an identifier, on whichever connection. */
  private former = new Map<number, string>()
  private topics = new Map<number, string>()
  private aliases = new Map<string, number>()
  /** QoS 1 and 2 messages of this connection that are not acknowledged to the end. */
  private inflight = new Set<number>()

  constructor(id: string, stage: Stage) {
    this.id = id
    this.stage = stage
  }

  get connected(): boolean {
    return this.stream !== undefined
  }

  connect(step: ConnectStep): void {
    const { version, clean, will } = step
    const key = `${this.id}#${++this.connections}`
    const stream = this.stage.connect()
    const parser = mqttPacket.parser({ protocolVersion: version })
    parser.on('packet', (packet) => this.receive(key, packet))
    parser.on('error', (error: Error) =>
      this.stage.faults.push(`${key} got bytes that are no packet: ${error.message}`),
    )
    stream.on('data', (bytes: Buffer) => {
      this.stage.activity++
      parser.parse(bytes)
    })
    stream.on('error', (error: Error) => this.stage.faults.push(`${key} broke: ${error.message}`))
    stream.on('close', () => this.closed(key))
    this.connectionKey = key
    Object.assign(this, { version, stream, answers: step.answers, sessionExpiry: step.sessionExpiry })
    this.receiveMaximum = version === 5 ? step.receiveMaximum : 65535
    this.topicAliasMaximum = step.topicAliasMaximum
    this.topics = new Map()
    this.aliases = new Map()
    this.inflight = new Set()
    for (const [identifier, incoming] of this.incoming) {
      incoming.owed = undefined
      if (incoming.qos === 2) continue
      // the receiver of QoS 1 keeps nothing: the identifier may stand for another message by now
      this.incoming.delete(identifier)
    }
    const { receiveMaximum, topicAliasMaximum } = step
    const sessionExpiryInterval = step.sessionExpiry === Number.POSITIVE_INFINITY ? 0xffffffff : step.sessionExpiry
    const properties = { sessionExpiryInterval, receiveMaximum, topicAliasMaximum }
    this.send({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: version,
      clientId: this.id,
      clean,
      keepalive: 0,
      ...(version === 5 ? { properties } : {}),
      ...(will === undefined ? {} : { will: willOf(will, version) }),
    })
  }

  /** Closes the connection without a word. */
  abort(): void {
    const { stream } = this
    this.stream = undefined
    this.connectionKey = ''
    stream!.destroy()
  }

  publish(publish: PublishStep, identifier: number, dup: boolean): void {
    const { topic, payload, qos, retain, expiry } = publish
    const properties: NonNullable<IPublishPacket['properties']> = {}
    if (expiry !== undefined) properties.messageExpiryInterval = expiry
    let sent = topic
    if (this.version === 5 && publish.alias) {
      const known = this.aliases.get(topic)
      if (known !== undefined) sent = ''
      properties.topicAlias = known ?? this.aliases.size + 1
      this.aliases.set(topic, properties.topicAlias)
    }
    const packet: IPublishPacket = { cmd: 'publish', topic: sent, payload, qos, retain, dup }
    if (qos > 0) packet.messageId = identifier
    if (this.version === 5) packet.properties = properties
    this.send(packet)
  }

  /** SUBSCRIBE, UNSUBSCRIBE, DISCONNECT. */
  control(step: Extract<Step, { type: 'subscribe' | 'unsubscribe' | 'disconnect' }>): void {
    const messageId = this.freeIdentifier()
    if (step.type === 'unsubscribe') this.send({ cmd: 'unsubscribe', messageId, unsubscriptions: step.filters })
    else if (step.type === 'disconnect') {
      const { sessionExpiry, withWill } = step
      const sessionExpiryInterval = sessionExpiry === Number.POSITIVE_INFINITY ? 0xffffffff : sessionExpiry
      const properties = sessionExpiryInterval === undefined ? {} : { properties: { sessionExpiryInterval } }
      this.send({ cmd: 'disconnect', ...(this.version === 5 ? { reasonCode: withWill ? 4 : 0, ...properties } : {}) })
    } else {
      const subscriptions = step.filters.map(({ filter, qos, noLocal, retainAsPublished, retainHandling }) => ({
        ...{ topic: filter, qos },
        ...(this.version === 5 ? { nl: noLocal, rap: retainAsPublished, rh: retainHandling } : {}),
      }))
      const properties = step.identifier === 0 ? {} : { properties: { subscriptionIdentifier: step.identifier } }
      this.send({ cmd: 'subscribe', messageId, subscriptions, ...properties })
    }
  }

  release(identifier: number): void {
    this.send({ cmd: 'pubrel', messageId: identifier })
  }

  acknowledge(): void {
    this.answers = 'all'
    for (const [identifier, incoming] of [...this.incoming]) {
      const { owed } = incoming
      incoming.owed = undefined
      if (owed !== undefined) this.answer(identifier, incoming, owed)
    }
  }

  /** The lowest Packet Identifier that no exchange of this client uses: they are used again as soon as they may be. */
  freeIdentifier(): number {
    let identifier = 1
    while (this.pending.some((pending) => pending.identifier === identifier)) identifier++
    return identifier
  }

  private send(packet: Packet): void {
    this.stage.activity++
    this.stream!.write(mqttPacket.generate(packet, { protocolVersion: this.version }))
  }

  private closed(key: string): void {
    this.stage.activity++
    if (this.stream !== undefined && this.connectionKey === key) this.stream = undefined
    else if (this.connectionKey === '') return
    outcomeOf(this.stage.observed, key).others.push('closed')
  }

  private receive(key: string, packet: Packet): void {
    const { others } = outcomeOf(this.stage.observed, key)
    switch (packet.cmd) {
      case 'publish':
        this.receivePublish(key, packet)
        return
      case 'pubrel':
        this.receivePubrel(key, packet.messageId!)
        return
      case 'connack':
        if (!packet.sessionPresent) this.forget()
        others.push(`CONNACK ${packet.sessionPresent ? 'present' : 'new'} ${packet.returnCode ?? packet.reasonCode}`)
        return
      case 'suback':
      case 'unsuback':
        others.push([packet.cmd.toUpperCase(), packet.granted?.join()].filter((text) => text !== undefined).join(' '))
        return
      case 'disconnect':
        others.push(`DISCONNECT ${packet.reasonCode}`)
        return
      case 'puback':
      case 'pubrec':
      case 'pubcomp':
        this.settlePending(packet)
        others.push(`${packet.cmd.toUpperCase()} ${packet.messageId} ${packet.reasonCode ?? 0}`)
        return
      default:
        others.push(packet.cmd.toUpperCase())
    }
  }

  private forget(): void {
    this.pending = []
    this.incoming = new Map()
    this.former = new Map()
  }

  private settlePending({ cmd, messageId }: Packet): void {
    const pending = this.pending.find(({ identifier }) => identifier === messageId)
    if (pending === undefined || pending.publish.lost) return
    if (cmd === 'pubrec') pending.next = 'release'
    else this.pending.splice(this.pending.indexOf(pending), 1)
  }

  private receivePublish(key: string, packet: IPublishPacket): void {
    const { qos, retain, dup, properties } = packet
    const payload = packet.payload.toString()
    const identifiers = [properties?.subscriptionIdentifier ?? []].flat().sort((a, b) => a - b)
    const topic = this.topicOf(key, packet)
    outcomeOf(this.stage.observed, key).publishes.push({
      topic,
      payload,
      qos,
      retain,
      dup,
      identifiers,
      expiry: properties?.messageExpiryInterval,
    })
    if (qos === 0) return
    const identifier = packet.messageId!
    const known = this.incoming.get(identifier)
    if (known !== undefined && (!dup || known.payload !== payload || known.held)) {
      this.stage.faults.push(
        `${key} got "${payload}" with Packet Identifier ${identifier}, which "${known.payload}" has`,
      )
    }
    if (qos === 1 && dup && this.former.get(identifier) !== payload) {
      this.stage.faults.push(`${key} got "${payload}" again with another Packet Identifier, ${identifier}`)
    }
    if (qos === 1) this.former.set(identifier, payload)
    this.inflight.add(identifier)
    if (this.inflight.size > this.receiveMaximum)
      this.stage.faults.push(`${key} got more than Receive Maximum, ${this.receiveMaximum}`)
    const incoming: Incoming = { payload, qos, held: false, owed: undefined }
    this.incoming.set(identifier, incoming)
    const answer: Packet = { cmd: qos === 1 ? 'puback' : 'pubrec', messageId: identifier }
    if (this.answers === 'none') incoming.owed = answer
    else this.answer(identifier, incoming, answer)
  }

  private receivePubrel(key: string, identifier: number): void {
    const incoming = this.incoming.get(identifier)
    outcomeOf(this.stage.observed, key).others.push(`PUBREL of ${incoming?.held ? incoming.payload : 'nothing'}`)
    const answer: Packet = { cmd: 'pubcomp', messageId: identifier }
    if (incoming === undefined) this.send(answer)
    else if (this.answers === 'all') this.answer(identifier, incoming, answer)
    else incoming.owed = answer
  }

  private answer(identifier: number, incoming: Incoming, answer: Packet): void {
    if (answer.cmd === 'pubrec') incoming.held = true
    else {
      this.incoming.delete(identifier)
      this.inflight.delete(identifier)
    }
    this.send(answer)
  }

  private topicOf(key: string, { topic, properties }: IPublishPacket): string {
    const alias = properties?.topicAlias
    if (alias === undefined) return topic
    if (alias > this.topicAliasMaximum)
      this.stage.faults.push(`${key} got Topic Alias ${alias}, above ${this.topicAliasMaximum}`)
    if (topic !== '') this.topics.set(alias, topic)
    return this.topics.get(alias) ?? `unknown alias ${alias}`
  }
}

function willOf({ topic, payload, qos, retain, delay, expiry }: NonNullable<ConnectStep['will']>, version: Version) {
  const properties = { willDelayInterval: delay, ...(expiry === undefined ? {} : { messageExpiryInterval: expiry }) }
  return { topic, payload: Buffer.from(payload), qos, retain, ...(version === 5 ? { properties } : {}) }
}
