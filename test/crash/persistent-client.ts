import { connect as connectSocket, type Socket } from 'node:net'
import type { IConnackPacket, IConnectPacket, IPublishPacket, ISubackPacket, Packet, PacketCmd } from 'mqtt-packet'
import mqttPacket from 'mqtt-packet'
import type { QoS } from '../../src/protocol/packet'
import type { History, SentMessage } from './history'

export interface PersistentClientOptions {
  clientId: string
  version: 4 | 5
  history: History
  /** MQTT 5.0. Default: no bound. */
  receiveMaximum?: number
}

/** What was published and is not yet done: sent again when the connection comes back. */
interface Outgoing {
  readonly message: SentMessage
  readonly clears: boolean
  isSent: boolean
  /** PUBREC has come: what is sent again is PUBREL. */
  isReceived: boolean
}

/**
 * A client with a session that is kept, as the specification wants it: sends again what is not acknowledged, knows a
 * repeated QoS 2 message, and tells the history of all it does. It never says Clean Session.
 */
export class PersistentClient {
  readonly clientId: string
  readonly version: 4 | 5
  /** Packets of these kinds get no answer, until the next connection. */
  readonly unanswered = new Set<PacketCmd>()
  /** Packets of this connection, by their kind. */
  readonly seen: Packet[] = []
  isConnected = false
  private readonly history: History
  private readonly receiveMaximum: number | undefined
  private socket: Socket | null = null
  private readonly outgoing = new Map<number, Outgoing>()
  /** Identifiers of QoS 2 messages received and not released. */
  private readonly held = new Set<number>()
  private readonly answers = new Map<number, (packet: Packet) => void>()
  private readonly waiting = new Set<() => void>()
  private onConnack: ((packet: IConnackPacket) => void) | null = null

  constructor({ clientId, version, history, receiveMaximum }: PersistentClientOptions) {
    this.clientId = clientId
    this.version = version
    this.history = history
    this.receiveMaximum = receiveMaximum
  }

  /** Messages that the broker has not yet done with. */
  get openMessages(): number {
    return this.outgoing.size
  }

  /** True when no QoS 2 message waits for its PUBREL. */
  get hasReleased(): boolean {
    return this.held.size === 0
  }

  /** Resolves to true after CONNACK, to false when the connection came to nothing. */
  connect(port: number, will?: SentMessage): Promise<boolean> {
    this.unanswered.clear()
    this.seen.length = 0
    const socket = connectSocket({ port, host: '127.0.0.1', noDelay: true })
    this.socket = socket
    const parser = mqttPacket.parser({ protocolVersion: this.version })
    parser.on('packet', (packet) => {
      if (this.socket === socket) this.receive(packet)
    })
    parser.on('error', (error: Error) => this.violate(`was sent what is no packet: ${error.message}`))
    socket.on('data', (bytes) => parser.parse(bytes))
    socket.on('error', () => undefined)
    return new Promise((resolve) => {
      this.onConnack = (packet) => {
        this.begin(packet)
        resolve(this.isConnected)
      }
      socket.on('connect', () => {
        this.history.add({ type: 'connecting', client: this.clientId, ...(will === undefined ? {} : { will }) })
        this.send(this.connectPacket(will))
      })
      socket.on('close', () => {
        if (this.socket === socket) this.lose()
        resolve(false)
      })
    })
  }

  /** Says DISCONNECT and closes. */
  async disconnect(): Promise<void> {
    const { socket } = this
    if (socket === null) return
    this.history.add({ type: 'disconnecting', client: this.clientId })
    this.send({ cmd: 'disconnect' })
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
    socket.end()
    this.isConnected = false
    await closed
  }

  /** Breaks the connection. */
  cut(): void {
    const { socket } = this
    if (socket === null) return
    this.lose()
    socket.resetAndDestroy()
  }

  /** Resolves to true after SUBACK, to false when the connection was lost before. */
  async subscribe(filter: string, qos: QoS): Promise<boolean> {
    this.history.add({ type: 'subscribing', client: this.clientId, filter, qos })
    const packet = await this.ask((messageId) => ({
      cmd: 'subscribe',
      messageId,
      subscriptions: [{ topic: filter, qos, nl: false, rap: false, rh: 2 }],
    }))
    if (packet === undefined) return false
    const [granted] = (packet as ISubackPacket).granted
    if (granted === qos) this.history.add({ type: 'subscribed', client: this.clientId, filter, qos })
    else this.violate(`was granted ${granted} for ${filter}`)
    return true
  }

  async unsubscribe(filter: string): Promise<boolean> {
    this.history.add({ type: 'unsubscribing', client: this.clientId, filter })
    const packet = await this.ask((messageId) => ({ cmd: 'unsubscribe', messageId, unsubscriptions: [filter] }))
    if (packet === undefined) return false
    this.history.add({ type: 'unsubscribed', client: this.clientId, filter })
    return true
  }

  /** Publishes a message of QoS 1 or 2 now, or as soon as there is a connection. Gives its Packet Identifier. */
  publish(message: SentMessage, clears = false): number {
    const messageId = this.freeIdentifier()
    this.outgoing.set(messageId, { message, clears, isSent: false, isReceived: false })
    this.history.add({ type: 'publishing', client: this.clientId, message, clears })
    if (this.isConnected) this.sendOutgoing(messageId)
    return messageId
  }

  /** Resolves once `condition` holds; looked at after each packet and at the connection's end. */
  until(condition: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (!condition()) return
        this.waiting.delete(look)
        resolve()
      }
      this.waiting.add(look)
      look()
    })
  }

  private connectPacket(will: SentMessage | undefined): IConnectPacket {
    const { clientId, version, receiveMaximum } = this
    return {
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: version,
      clientId,
      clean: false,
      keepalive: 0,
      ...(version === 5
        ? { properties: { sessionExpiryInterval: 3600, ...(receiveMaximum === undefined ? {} : { receiveMaximum }) } }
        : {}),
      ...(will === undefined
        ? {}
        : { will: { topic: will.topic, payload: Buffer.from(will.payload), qos: will.qos, retain: will.retain } }),
    }
  }

  private begin(packet: IConnackPacket): void {
    this.onConnack = null
    const code = this.version === 5 ? packet.reasonCode : packet.returnCode
    if (code !== 0) {
      this.violate(`was refused with ${code}`)
      return
    }
    this.isConnected = true
    this.history.add({ type: 'connected', client: this.clientId, present: packet.sessionPresent })
    if (!packet.sessionPresent) this.held.clear()
    for (const [messageId, outgoing] of this.outgoing) {
      // without a session on the other side nothing is a repetition
      if (!packet.sessionPresent) outgoing.isSent = outgoing.isReceived = false
      this.sendOutgoing(messageId)
    }
  }

  /** The connection is gone: what was asked gets no answer. */
  private lose(): void {
    this.socket = null
    this.isConnected = false
    this.history.add({ type: 'disconnected', client: this.clientId })
    for (const answer of [...this.answers.values()]) answer({ cmd: 'disconnect' })
    this.wake()
  }

  private sendOutgoing(messageId: number): void {
    const outgoing = this.outgoing.get(messageId)!
    const { message, clears, isSent } = outgoing
    if (outgoing.isReceived) {
      this.send({ cmd: 'pubrel', messageId })
      return
    }
    const { topic, qos, retain } = message
    const payload = clears ? '' : message.payload
    this.send({ cmd: 'publish', topic, payload, qos, retain, dup: isSent, messageId })
    outgoing.isSent = true
  }

  private send(packet: Packet): void {
    this.socket?.write(mqttPacket.generate(packet, { protocolVersion: this.version }))
  }

  private receive(packet: Packet): void {
    this.seen.push(packet)
    const { messageId = 0 } = packet
    switch (packet.cmd) {
      case 'connack':
        this.onConnack?.(packet)
        break
      case 'publish':
        this.receivePublish(packet)
        break
      case 'pubrel':
        this.held.delete(messageId)
        if (!this.unanswered.has('pubrel')) this.send({ cmd: 'pubcomp', messageId })
        break
      case 'puback':
      case 'pubrec':
        this.receiveAck(packet.cmd, messageId, packet.reasonCode ?? 0)
        break
      case 'pubcomp':
        this.outgoing.delete(messageId)
        break
      case 'suback':
      case 'unsuback':
        this.answers.get(messageId)?.(packet)
        break
      case 'disconnect':
        this.violate(`was disconnected with ${packet.reasonCode}: ${packet.properties?.reasonString}`)
    }
    this.wake()
  }

  private receivePublish(packet: IPublishPacket): void {
    const { qos, topic, messageId = 0 } = packet
    const isNew = qos < 2 || !this.held.has(messageId)
    if (qos === 2) this.held.add(messageId)
    if (isNew)
      this.history.add({ type: 'received', client: this.clientId, topic, payload: packet.payload.toString(), qos })
    if (qos > 0 && !this.unanswered.has('publish')) this.send({ cmd: qos === 1 ? 'puback' : 'pubrec', messageId })
  }

  private receiveAck(cmd: 'puback' | 'pubrec', messageId: number, reasonCode: number): void {
    const outgoing = this.outgoing.get(messageId)
    if (outgoing === undefined) {
      if (cmd === 'puback') this.violate(`was sent a PUBACK of ${messageId}, which it has not published`)
      return
    }
    if (reasonCode >= 0x80) this.violate(`had ${outgoing.message.payload} refused with ${reasonCode}`)
    if (!outgoing.isReceived)
      this.history.add({ type: 'acknowledged', client: this.clientId, payload: outgoing.message.payload })
    if (cmd === 'puback') this.outgoing.delete(messageId)
    else {
      outgoing.isReceived = true
      if (!this.unanswered.has('pubrec')) this.send({ cmd: 'pubrel', messageId })
    }
  }

  private ask(packet: (messageId: number) => Packet): Promise<Packet | undefined> {
    if (!this.isConnected) return Promise.resolve(undefined)
    const messageId = this.freeIdentifier()
    return new Promise((resolve) => {
      this.answers.set(messageId, (answer) => {
        this.answers.delete(messageId)
        resolve(answer.cmd === 'disconnect' ? undefined : answer)
      })
      this.send(packet(messageId))
    })
  }

  /** The lowest, so that identifiers are used again soon. */
  private freeIdentifier(): number {
    let identifier = 1
    while (this.outgoing.has(identifier) || this.answers.has(identifier)) identifier++
    return identifier
  }

  private violate(text: string): void {
    this.history.add({ type: 'violation', client: this.clientId, text })
  }

  private wake(): void {
    for (const look of [...this.waiting]) look()
  }
}
