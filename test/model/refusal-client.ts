import type { Duplex } from 'node:stream'
import mqttPacket, { type IPublishPacket, type Packet } from 'mqtt-packet'

/** A message whose exchange its publisher has not finished. */
interface Pending {
  readonly messageId: number
  readonly topic: string
  readonly payload: string
  readonly qos: 1 | 2
  readonly retain: boolean
  released: boolean
}

/** A client that keeps its state across connections, and sends again in its order what was not acknowledged. */
export class RefusalClient {
  readonly acknowledged: string[] = []
  /** 0x97: MQTT 5.0 has a word for it. */
  readonly refused: string[] = []
  /** What was sent more than once: the broker may have kept the first, and have refused the last. */
  readonly repeated = new Set<string>()
  /** Each PUBLISH taken on: QoS 2 once for each exchange. */
  readonly received: { payload: string; qos: number }[] = []
  /** Whether it answers what it receives. */
  answers = true
  private pending: Pending[] = []
  private stream: Duplex | undefined
  private readonly held = new Set<number>()
  private owed: IPublishPacket[] = []
  private lastId = 0
  private isAccepted = false

  constructor(
    readonly id: string,
    readonly version: 4 | 5,
    private readonly open: () => Duplex,
  ) {}

  get connected(): boolean {
    return this.stream !== undefined
  }

  get idle(): boolean {
    return this.pending.length === 0
  }

  connect(): void {
    const stream = this.open()
    const parser = mqttPacket.parser({ protocolVersion: this.version })
    this.stream = stream
    this.isAccepted = false
    this.owed = []
    parser.on('packet', (packet) => this.stream === stream && this.receive(packet))
    stream.on('data', (bytes: Buffer) => parser.parse(bytes))
    stream.on('error', () => undefined)
    stream.on('close', () => {
      if (this.stream === stream) this.stream = undefined
    })
    this.send({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: this.version,
      clientId: this.id,
      clean: false,
      keepalive: 0,
      ...(this.version === 5 ? { properties: { sessionExpiryInterval: 0xffffffff } } : {}),
    })
  }

  abort(): void {
    this.stream?.destroy()
    this.stream = undefined
  }

  subscribe(filter: string, qos: 0 | 1 | 2): void {
    this.send({ cmd: 'subscribe', messageId: this.nextId(), subscriptions: [{ topic: filter, qos }] })
  }

  publish(topic: string, payload: string, qos: 1 | 2, retain: boolean): void {
    const pending = { messageId: this.nextId(), topic, payload, qos, retain, released: false }
    this.pending.push(pending)
    if (this.isAccepted) this.sendPending(pending, false)
  }

  /** From here on it answers everything. */
  answerAll(): void {
    this.answers = true
    for (const packet of this.owed.splice(0)) this.answer(packet)
  }

  private nextId(): number {
    this.lastId = (this.lastId % 60_000) + 1
    return this.lastId
  }

  private send(packet: Packet): void {
    this.stream?.write(mqttPacket.generate(packet, { protocolVersion: this.version }))
  }

  private sendPending({ messageId, topic, payload, qos, retain, released }: Pending, dup: boolean): void {
    if (dup && !released) this.repeated.add(payload)
    if (released) this.send({ cmd: 'pubrel', messageId })
    else this.send({ cmd: 'publish', messageId, topic, payload, qos, retain, dup })
  }

  private receive(packet: Packet): void {
    switch (packet.cmd) {
      case 'connack':
        if ((packet.returnCode ?? packet.reasonCode) !== 0) return
        this.isAccepted = true
        for (const pending of this.pending) this.sendPending(pending, true)
        return
      case 'publish':
        this.receivePublish(packet)
        return
      case 'pubrel':
        this.held.delete(packet.messageId!)
        this.send({ cmd: 'pubcomp', messageId: packet.messageId! })
        return
      case 'puback':
      case 'pubrec':
      case 'pubcomp':
        this.settle(packet.cmd, packet.messageId!, packet.reasonCode ?? 0)
    }
  }

  private receivePublish(packet: IPublishPacket): void {
    const { messageId = 0, qos } = packet
    if (qos < 2 || !this.held.has(messageId)) this.received.push({ payload: packet.payload.toString(), qos })
    if (qos === 2) this.held.add(messageId)
    if (qos === 0) return
    if (this.answers) this.answer(packet)
    else this.owed.push(packet)
  }

  private answer({ messageId, qos }: IPublishPacket): void {
    this.send({ cmd: qos === 1 ? 'puback' : 'pubrec', messageId: messageId! })
  }

  private settle(cmd: 'puback' | 'pubrec' | 'pubcomp', messageId: number, reasonCode: number): void {
    const at = this.pending.findIndex((pending) => pending.messageId === messageId)
    const pending = this.pending[at]
    if (pending === undefined) return
    const isRefused = reasonCode >= 0x80
    if (cmd !== 'pubcomp') (isRefused ? this.refused : this.acknowledged).push(pending.payload)
    if (cmd === 'pubrec' && !isRefused) {
      pending.released = true
      this.sendPending(pending, false)
    } else this.pending.splice(at, 1)
  }
}
