import { connect as connectSocket, type Socket } from 'node:net'
import type {
  IConnackPacket,
  IConnectPacket,
  IPubackPacket,
  IPubcompPacket,
  IPublishPacket,
  ISubackPacket,
  ISubscribePacket,
  IUnsubackPacket,
  Packet,
  PacketCmd,
  Parser,
  QoS,
} from 'mqtt-packet'
import mqttPacket from 'mqtt-packet'

/** How long a condition may take before the test has failed. No test waits this long and passes. */
const PATIENCE_MS = 5000

export type Version = 3 | 4 | 5
export type PacketOf<C extends PacketCmd> = Extract<Packet, { cmd: C }>
export type ConnectOptions = Partial<Omit<IConnectPacket, 'cmd' | 'password'>> & { password?: string | Buffer }
export type PublishProperties = NonNullable<IPublishPacket['properties']>
export type SubscribeProperties = NonNullable<ISubscribePacket['properties']>

export interface PublishOptions {
  qos?: QoS
  retain?: boolean
  dup?: boolean
  /** Default: the next one that this client has not used. */
  messageId?: number
  properties?: PublishProperties
}

export interface SubscribeOptions {
  messageId?: number
  /** MQTT 5.0: No Local, Retain As Published, Retain Handling. */
  nl?: boolean
  rap?: boolean
  rh?: 0 | 1 | 2
  properties?: SubscribeProperties
}

interface Waiter {
  /** Resolves or rejects its promise, and says so, once it can. */
  look(): boolean
}

let clientCount = 0

/**
 * An MQTT client that does nothing by itself: a TCP connection, an encoder and a parser. The test sends every packet
 * and looks at every packet. It waits for conditions only, and rejects with all that has arrived.
 */
export class RawClient {
  /** What packets are encoded and decoded as. `connect` sets it; set it by hand before a CONNECT of `sendBytes`. */
  protocolVersion: Version = 4
  /** Every packet since the connection opened. */
  readonly received: Packet[] = []
  /** True once the peer has ended or reset the connection, or this side has. */
  isClosed = false

  private readonly chunks: Buffer[] = []
  private readonly unread: Packet[] = []
  private readonly waiters = new Set<Waiter>()
  private parser: Parser | null = null
  private parseError: Error | null = null
  private lastMessageId = 0
  private acknowledging = false

  private constructor(readonly socket: Socket) {
    socket.setNoDelay(true)
    socket.on('data', (bytes) => this.read(bytes))
    socket.on('error', () => undefined)
    socket.on('close', () => {
      this.isClosed = true
      this.wake()
    })
  }

  /** Opens a TCP connection to a port of the loopback interface, and sends nothing. */
  static open(port: number): Promise<RawClient> {
    return new Promise((resolve, reject) => {
      const socket = connectSocket({ port, host: '127.0.0.1' })
      socket.once('error', reject)
      socket.once('connect', () => {
        socket.off('error', reject)
        resolve(new RawClient(socket))
      })
    })
  }

  /** Opens a connection and sends CONNECT. The CONNACK is `received[0]`, already read. */
  static async connected(port: number, options: ConnectOptions = {}): Promise<RawClient> {
    const client = await RawClient.open(port)
    await client.connect(options)
    return client
  }

  /**
   * Answers PUBLISH with PUBACK or PUBREC, and PUBREL with PUBCOMP, those that wait unread included. Default: false. An
   * answered PUBREL is in `received` only.
   */
  get autoAcknowledge(): boolean {
    return this.acknowledging
  }

  set autoAcknowledge(on: boolean) {
    this.acknowledging = on
    if (on) this.unread.splice(0, this.unread.length, ...this.unread.filter((packet) => !this.answer(packet)))
  }

  /** The bytes of `received`, as they came. */
  get receivedBytes(): Buffer {
    return Buffer.concat(this.chunks)
  }

  /** Sends one packet, or several in one write. */
  send(...packets: Packet[]): void {
    this.sendBytes(Buffer.concat(packets.map((packet) => encode(packet, this.protocolVersion))))
  }

  /** Sends bytes as they are; hexadecimal may have spaces between. */
  sendBytes(bytes: Uint8Array | string): void {
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes.replaceAll(/\s/g, ''), 'hex') : bytes)
  }

  /**
   * The first packet not yet read, or the first of this kind; others stay unread. Rejects when the connection has
   * closed without it, or after five seconds, with all that did arrive.
   */
  next(): Promise<Packet>
  next<C extends PacketCmd>(cmd: C): Promise<PacketOf<C>>
  next(cmd?: PacketCmd): Promise<Packet> {
    return this.waitFor(cmd ?? 'a packet', () => {
      const index = cmd === undefined ? 0 : this.unread.findIndex((packet) => packet.cmd === cmd)
      return index < 0 ? undefined : this.unread.splice(index, 1)[0]
    })
  }

  /** Sends CONNECT and gives the CONNACK, whatever it says. Keep Alive is 0 unless asked for. */
  connect(options: ConnectOptions = {}): Promise<IConnackPacket> {
    this.sendConnect(options)
    return this.next('connack')
  }

  /** Sends CONNECT and waits for nothing. */
  sendConnect(options: ConnectOptions = {}): void {
    const { protocolVersion = this.protocolVersion, password, ...rest } = options
    this.protocolVersion = protocolVersion
    this.send({
      cmd: 'connect',
      protocolId: protocolVersion === 3 ? 'MQIsdp' : 'MQTT',
      protocolVersion,
      clientId: `raw-${++clientCount}`,
      clean: true,
      keepalive: 0,
      ...(password === undefined ? {} : { password: Buffer.from(password) }),
      ...rest,
    })
  }

  /** Sends SUBSCRIBE for one Topic Filter or several, all of one QoS, and gives the SUBACK of that Packet Identifier. */
  async subscribe(filter: string | string[], qos: QoS = 0, options: SubscribeOptions = {}): Promise<ISubackPacket> {
    const { messageId = this.newMessageId(), properties, ...subscription } = options
    const filters = typeof filter === 'string' ? [filter] : filter
    this.send({
      cmd: 'subscribe',
      messageId,
      subscriptions: filters.map((topic) => ({ topic, qos, ...subscription })),
      ...(properties === undefined ? {} : { properties }),
    })
    return this.nextAnswer('suback', messageId)
  }

  async unsubscribe(filter: string | string[], options: { messageId?: number } = {}): Promise<IUnsubackPacket> {
    const { messageId = this.newMessageId() } = options
    this.send({ cmd: 'unsubscribe', messageId, unsubscriptions: typeof filter === 'string' ? [filter] : filter })
    return this.nextAnswer('unsuback', messageId)
  }

  /** Sends PUBLISH and completes its exchange: gives the PUBACK or PUBCOMP, or a PUBREC that refuses; QoS 0 gives nothing. */
  async publish(topic: string, payload: string | Buffer = '', options: PublishOptions = {}) {
    const packet = this.sendPublish(topic, payload, options)
    if (packet.qos === 0) return undefined
    const messageId = packet.messageId!
    if (packet.qos === 1) return this.nextAnswer<'puback'>('puback', messageId)
    const pubrec = await this.nextAnswer('pubrec', messageId)
    if ((pubrec.reasonCode ?? 0) >= 0x80) return pubrec
    return this.release(messageId)
  }

  /** Sends PUBLISH and waits for nothing; gives the packet, with the Packet Identifier that it chose. */
  sendPublish(topic: string, payload: string | Buffer = '', options: PublishOptions = {}): IPublishPacket {
    const { qos = 0, retain = false, dup = false, properties } = options
    const packet: IPublishPacket = { cmd: 'publish', topic, payload, qos, retain, dup }
    if (qos > 0) packet.messageId = options.messageId ?? this.newMessageId()
    if (properties !== undefined) packet.properties = properties
    this.send(packet)
    return packet
  }

  /** Sends PUBREL and gives the PUBCOMP. */
  release(messageId: number): Promise<IPubcompPacket> {
    this.send({ cmd: 'pubrel', messageId })
    return this.nextAnswer('pubcomp', messageId)
  }

  /** Completes the exchange of a PUBLISH that this client has received. */
  async acknowledge(packet: IPublishPacket): Promise<void> {
    const messageId = packet.messageId!
    if (packet.qos === 1) this.send({ cmd: 'puback', messageId })
    if (packet.qos < 2) return
    this.send({ cmd: 'pubrec', messageId })
    await this.nextAnswer('pubrel', messageId)
    this.send({ cmd: 'pubcomp', messageId })
  }

  /** The next PUBLISH. Its payload is text here; `publish.payload` of `next('publish')` is bytes. */
  async nextMessage(): Promise<{
    topic: string
    text: string
    qos: QoS
    retain: boolean
    dup: boolean
    packet: IPublishPacket
  }> {
    const packet = await this.next('publish')
    const { topic, qos, retain, dup } = packet
    return { topic, text: packet.payload.toString(), qos, retain, dup, packet }
  }

  /**
   * Proves that nothing more arrives: sends PINGREQ and gives all packets up to the PINGRESP that were not read yet. The
   * broker has by then done all that this client sent before, and written all that others had acknowledged before.
   */
  async quiet(): Promise<Packet[]> {
    this.send({ cmd: 'pingreq' })
    const packets: Packet[] = []
    for (;;) {
      const packet = await this.next()
      if (packet.cmd === 'pingresp') return packets
      packets.push(packet)
    }
  }

  /** Resolves when the peer has closed the connection. Rejects after five seconds, with all that did arrive. */
  async closed(): Promise<void> {
    await this.waitFor('the end of the connection', () => (this.isClosed ? true : undefined))
  }

  /** Sends DISCONNECT and waits until the broker has closed. */
  async disconnect(): Promise<void> {
    this.send({ cmd: 'disconnect' })
    await this.closed()
  }

  /** Closes this side, without DISCONNECT. */
  end(): void {
    this.socket.end()
  }

  /** Breaks the connection with a reset. */
  destroy(): void {
    this.socket.resetAndDestroy()
  }

  /** Stops reading, so that the peer's writes pile up. */
  pause(): void {
    this.socket.pause()
  }

  resume(): void {
    this.socket.resume()
  }

  newMessageId(): number {
    this.lastMessageId = (this.lastMessageId % 65_535) + 1
    return this.lastMessageId
  }

  private nextAnswer<C extends 'puback' | 'pubrec' | 'pubrel' | 'pubcomp' | 'suback' | 'unsuback'>(
    cmd: C,
    messageId: number,
  ): Promise<PacketOf<C>> {
    return this.waitFor(`${cmd} ${messageId}`, () => {
      const index = this.unread.findIndex((packet) => packet.cmd === cmd && packet.messageId === messageId)
      return index < 0 ? undefined : (this.unread.splice(index, 1)[0] as PacketOf<C>)
    })
  }

  private waitFor<T>(what: string, take: () => T | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      const fail = (why: string): void => {
        const arrived = this.received.map((packet) => JSON.stringify(packet)).join('\n  ')
        reject(new Error(`${why} instead of ${what}; received:\n  ${arrived || 'nothing'}`))
      }
      const look = (): boolean => {
        const value = take()
        if (value !== undefined) resolve(value)
        else if (this.parseError !== null) fail(`bytes that are no packet (${this.parseError.message})`)
        else if (this.isClosed) fail('the connection closed')
        else return false
        clearTimeout(timer)
        this.waiters.delete(waiter)
        return true
      }
      const waiter: Waiter = { look }
      const timer = setTimeout(() => {
        this.waiters.delete(waiter)
        fail(`nothing more in ${PATIENCE_MS} ms`)
      }, PATIENCE_MS)
      this.waiters.add(waiter)
      look()
    })
  }

  private wake(): void {
    for (const waiter of this.waiters) waiter.look()
  }

  private read(bytes: Buffer): void {
    this.chunks.push(bytes)
    // made at the first byte, because the version that it reads is known from CONNECT on
    this.parser ??= this.createParser()
    this.parser.parse(bytes)
    this.wake()
  }

  private createParser(): Parser {
    const parser = mqttPacket.parser({ protocolVersion: this.protocolVersion })
    parser.on('packet', (packet) => {
      this.received.push(packet)
      if (!this.acknowledging || !this.answer(packet)) this.unread.push(packet)
    })
    parser.on('error', (error: Error) => {
      this.parseError = error
    })
    return parser
  }

  /** True for a packet that needs nobody's attention any more. */
  private answer(packet: Packet): boolean {
    const { messageId } = packet
    if (messageId === undefined) return false
    if (packet.cmd === 'publish') this.send({ cmd: packet.qos === 1 ? 'puback' : 'pubrec', messageId } as IPubackPacket)
    if (packet.cmd !== 'pubrel') return false
    this.send({ cmd: 'pubcomp', messageId })
    return true
  }
}

/** The bytes of a packet, for a test that spoils them before it sends them. */
export function encode(packet: Packet, protocolVersion: Version = 4): Buffer {
  return mqttPacket.generate(packet, { protocolVersion })
}
