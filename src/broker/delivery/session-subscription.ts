import { randomUUID } from 'node:crypto'
import type { ApplicationMessage } from '../../ports/application-message'
import type { Clock } from '../../ports/clock'
import type { Channel } from '../../ports/listener'
import { applicationIdentifier } from '../../protocol/application-identifier'
import {
  encodeConnect,
  encodeDisconnect,
  encodeSubscribe,
  encodeUnsubscribe,
  subscriptionOptions,
} from '../../protocol/client-packets'
import { Frame, FrameStatus, readFrame } from '../../protocol/frame'
import { MqttError } from '../../protocol/mqtt-error'
import { LARGEST_PACKET } from '../../protocol/output'
import { PacketType } from '../../protocol/packet'
import { PublishPacket, readPublish } from '../../protocol/publish-packet'
import { ApplicationChannel } from '../wire/application-channel'
import { delayAfter, HandledMessages, type MessageHandler } from './handled-messages'
import { ReceivedMessage } from './received-message'
import type { SubscribeOptions } from './subscribe-options'

/** The run of a broker, as a subscription of its application needs it. */
export interface ApplicationHost {
  accept(channel: Channel): void
  /** The Topic Filters that a session has. */
  filtersOf(clientId: string): string[]
}

/** What a subscription tells of. */
export interface SubscriptionTelling {
  failed(error: unknown, message: ApplicationMessage, attempts: number): void
  lost(error: MqttError): void
}

/** A subscription of the application that has a session, as a client has: its handler's promise is the acknowledgement. */
export class SessionSubscription {
  readonly options: SubscribeOptions
  readonly filter: string
  private readonly clientId: string
  private readonly handler: MessageHandler
  private readonly clock: Clock
  private readonly telling: SubscriptionTelling
  private host: ApplicationHost | null = null
  private link: Link | null = null
  private failures = 0
  private cancel: (() => void) | null = null

  constructor(
    filter: string,
    options: SubscribeOptions,
    handler: MessageHandler,
    clock: Clock,
    telling: SubscriptionTelling,
  ) {
    this.filter = options.group === undefined ? filter : `$share/${options.group}/${filter}`
    this.options = options
    this.handler = handler
    this.clock = clock
    this.telling = telling
    this.clientId = applicationIdentifier(options.durable === undefined ? randomUUID() : `durable/${options.durable}`)
  }

  /** Resolves once the broker has granted it. Rejects where the broker refuses it. */
  open(host: ApplicationHost): Promise<void> {
    this.host = host
    return this.connect(host)
  }

  /** The broker stops. */
  pause(): void {
    this.host = null
    this.cancel?.()
    this.cancel = null
    this.link?.end(false)
    this.link = null
  }

  /** With `forget` a durable session ends too. Throws GNATMQ_NOT_RUNNING where there is no connection to end it with. */
  end(forget: boolean): void {
    if (forget && this.link === null)
      throw new MqttError('GNATMQ_NOT_RUNNING', 'a session is forgotten by the broker that has it: start() it first')
    this.link?.end(forget)
    this.link = null
    this.pause()
  }

  private connect(host: ApplicationHost): Promise<void> {
    return new Promise((resolve, reject) => {
      const { clientId, clock, filter, handler, options } = this
      const link = new Link({ clientId, clock, filter, handler, host, options }, this.telling, (error) => {
        if (error === undefined) {
          this.failures = 0
          resolve()
          return
        }
        reject(error)
        if (this.link === link) this.reconnect(error)
      })
      this.link = link
      link.open()
    })
  }

  private reconnect(error: MqttError): void {
    const { host } = this
    this.link = null
    if (host === null) return
    this.telling.lost(error)
    this.cancel = this.clock.after(delayAfter(++this.failures), () => {
      this.cancel = null
      this.connect(host).catch(() => undefined)
    })
  }
}

interface LinkParts {
  readonly clientId: string
  readonly clock: Clock
  readonly filter: string
  readonly handler: MessageHandler
  readonly host: ApplicationHost
  readonly options: SubscribeOptions
}

const SUBSCRIBE = 1
const UNSUBSCRIBE = 2

/** One connection of such a subscription. */
class Link {
  private readonly parts: LinkParts
  private readonly channel: ApplicationChannel
  private readonly handled: HandledMessages
  /** Called without an error when the subscription is granted, and with one when the connection is over. */
  private readonly settle: (error: MqttError | undefined) => void
  private readonly frame = new Frame()
  private readonly packet = new PublishPacket()
  private rest: Buffer | null = null
  private acknowledgements: number[] = []
  private isFlushing = false
  private error: MqttError | undefined
  private ended = false

  constructor(parts: LinkParts, telling: SubscriptionTelling, settle: (error: MqttError | undefined) => void) {
    const { clock, handler } = parts
    this.parts = parts
    this.settle = settle
    this.channel = new ApplicationChannel(this, clock.now())
    this.handled = new HandledMessages({
      clock,
      handler,
      acknowledge: (identifier, qos) => this.acknowledge(qos === 1 ? 0x40 : 0x50, identifier),
      failed: (error, message, attempts) => telling.failed(error, message, attempts),
    })
  }

  open(): void {
    const { clientId, host, options } = this.parts
    host.accept(this.channel)
    const expiry = options.durable === undefined ? 0 : options.expiresAfter
    this.channel.stream.push(encodeConnect(clientId, expiry, options.receiveMaximum))
  }

  /** Leaves the session, or ends it too. */
  end(endsSession: boolean): void {
    if (this.ended) return
    this.flush()
    this.leave()
    this.channel.stream.push(encodeDisconnect(endsSession))
  }

  private leave(): void {
    this.ended = true
    this.handled.end()
  }

  closed(): void {
    this.leave()
    this.settle(this.error ?? new MqttError('GNATMQ_CONNECTION_LOST', 'the broker has closed the subscription'))
  }

  receive(chunk: Buffer): void {
    const bytes = this.rest === null ? chunk : Buffer.concat([this.rest, chunk])
    this.rest = null
    const { frame } = this
    let at = 0
    while (at < bytes.length) {
      if (this.ended) return
      if (readFrame(frame, bytes, at, bytes.length, LARGEST_PACKET, true) !== FrameStatus.Whole) {
        this.rest = at === 0 ? bytes : Buffer.from(bytes.subarray(at))
        break
      }
      at = frame.end
      this.take(bytes, frame)
    }
    this.flush()
  }

  private take(bytes: Buffer, { body, end, first }: Frame): void {
    switch (first >> 4) {
      case PacketType.Publish:
        this.publish(bytes)
        return
      case PacketType.Pubrel:
        this.acknowledge(0x70, (bytes[body]! << 8) | bytes[body + 1]!)
        return
      case PacketType.Connack:
        this.connected(bytes[body]! === 1, bytes[body + 1]!)
        return
      case PacketType.Suback:
        if (bytes[body + 1] === SUBSCRIBE) this.subscribed(bytes[end - 1]!)
        return
      case PacketType.Disconnect:
        if (end > body) this.error = refusal('the broker has ended the subscription', bytes[body]!)
    }
  }

  private publish(bytes: Buffer): void {
    const { frame, packet } = this
    readPublish(packet, bytes, frame, 5, true)
    const message = new ReceivedMessage(packet, this.parts.clock.now())
    this.handled.add(message, packet.packetIdentifier, packet.qos)
  }

  private connected(present: boolean, reasonCode: number): void {
    if (reasonCode !== 0) {
      this.error = refusal('the broker refuses the session of the subscription', reasonCode)
      return
    }
    const { clientId, filter, host, options } = this.parts
    const { stream } = this.channel
    stream.push(encodeSubscribe(SUBSCRIBE, filter, subscriptionOptions(options.qos, options.noLocal)))
    // the same name may have had another filter before
    const others = present ? host.filtersOf(clientId).filter((other) => other !== filter) : []
    if (others.length > 0) stream.push(encodeUnsubscribe(UNSUBSCRIBE, others))
  }

  private subscribed(reasonCode: number): void {
    if (reasonCode < 0x80) {
      this.settle(undefined)
      return
    }
    this.error = refusal('the broker refuses the subscription', reasonCode)
    this.channel.stream.push(encodeDisconnect(false))
  }

  private acknowledge(first: number, identifier: number): void {
    if (this.ended) return
    this.acknowledgements.push(first === 0x70 ? 0x70 : first, 2, identifier >> 8, identifier & 0xff)
    if (this.isFlushing) return
    this.isFlushing = true
    queueMicrotask(() => this.flush())
  }

  private flush(): void {
    this.isFlushing = false
    if (this.acknowledgements.length === 0 || this.ended) return
    const bytes = Buffer.from(this.acknowledgements)
    this.acknowledgements = []
    this.channel.stream.push(bytes)
  }
}

function refusal(text: string, reasonCode: number): MqttError {
  const code = reasonCode === 0x97 ? 'GNATMQ_QUOTA_EXCEEDED' : 'GNATMQ_CONNECTION_LOST'
  return new MqttError(code, `${text}: Reason Code 0x${reasonCode.toString(16)}`, { reasonCode })
}
