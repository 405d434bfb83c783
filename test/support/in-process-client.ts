import type { Duplex } from 'node:stream'
import mqttPacket, { type Packet } from 'mqtt-packet'
import type { InProcessListener } from '../../src/transport/in-process'
import { type ConnectOptions, encode } from './raw-client'

/** A client in the process of the broker: what it sends is there in the same turn of the event loop. */
export class InProcessClient {
  readonly received: Packet[] = []
  /** Called with each packet that comes. */
  onPacket: (packet: Packet) => void = () => undefined
  private readonly waiters = new Set<() => void>()
  private readonly stream: Duplex
  private readonly version: 4 | 5

  constructor(listener: InProcessListener, version: 4 | 5 = 5) {
    this.version = version
    const parser = mqttPacket.parser({ protocolVersion: version })
    parser.on('packet', (packet: Packet) => {
      this.received.push(packet)
      this.onPacket(packet)
      for (const look of this.waiters) look()
    })
    this.stream = listener.connect()
    this.stream.on('data', (bytes: Buffer) => parser.parse(bytes))
    this.stream.on('error', () => undefined)
  }

  static async connected(listener: InProcessListener, options: ConnectOptions): Promise<InProcessClient> {
    const client = new InProcessClient(listener, (options.protocolVersion ?? 5) as 4 | 5)
    client.connect(options)
    await client.has('connack')
    return client
  }

  connect(options: ConnectOptions): void {
    const fields = { protocolId: 'MQTT', clientId: '', clean: true, keepalive: 0, ...options }
    this.send({ cmd: 'connect', ...fields, protocolVersion: this.version } as Packet)
  }

  send(...packets: Packet[]): void {
    this.stream.write(Buffer.concat(packets.map((packet) => encode(packet, this.version))))
  }

  publish(topic: string, qos: 0 | 1 | 2 = 0, messageId = 1, fields: { payload?: string; retain?: boolean } = {}): void {
    const publish = { cmd: 'publish', topic, qos, dup: false, retain: false, payload: 'x', ...fields } as const
    this.send(qos === 0 ? publish : { ...publish, messageId })
  }

  subscribe(qos: 0 | 1 | 2, ...filters: string[]): Promise<void> {
    const messageId = 60_000
    this.send({ cmd: 'subscribe', messageId, subscriptions: filters.map((topic) => ({ topic, qos })) })
    return this.has('suback')
  }

  destroy(): void {
    this.stream.destroy()
  }

  /** Resolves once so many packets of a kind have come. */
  has(cmd: Packet['cmd'], count = 1): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (this.received.filter((packet) => packet.cmd === cmd).length < count) return
        this.waiters.delete(look)
        resolve()
      }
      this.waiters.add(look)
      look()
    })
  }

  /** The topics of the messages that have come, and the kinds of other packets. */
  get history(): string[] {
    return this.received.map((packet) => (packet.cmd === 'publish' ? packet.topic : packet.cmd))
  }
}
