import type { EventEmitter } from 'eventemitter3'
import type { Clock } from '../../ports/clock'
import type { BrokerEvents } from '../../ports/events'
import type { Decision, TracedDecision, TraceTarget } from '../../ports/trace'
import { Frame, readFrame } from '../../protocol/frame'
import { PacketType } from '../../protocol/packet'
import { PublishPacket, readPublish } from '../../protocol/publish-packet'
import type { Traced, TracedMessage, Tracer } from '../wire/tracer'
import { KEPT_BYTES, PacketStream } from './packet-stream'
import { Trace, type TraceBounds } from './trace'

type Events = EventEmitter<BrokerEvents>
type Details = TracedDecision['details']

/** What is known of the packets that go to one client. */
interface SentSide {
  readonly stream: PacketStream
  /** Topics by the aliases that they were introduced with since the trace began. */
  readonly aliases: Map<number, string>
}

export interface TracingParts {
  readonly clock: Clock
  readonly events: Events
  /** Where connections look for what is told of them: null while nothing is traced. */
  readonly turn: { tracer: Tracer | null }
}

/** The traces that are open. While there is none, nothing of this costs anything. */
export class Tracing implements Tracer {
  private readonly parts: TracingParts
  private readonly traces = new Set<Trace>()
  /** How many of them follow messages. */
  private filters = 0
  private sides = new WeakMap<object, SentSide>()
  private readonly frame = new Frame()
  private readonly packet = new PublishPacket()
  private readonly listeners: { readonly [E in keyof BrokerEvents]?: (...values: BrokerEvents[E]) => void }

  constructor(parts: TracingParts) {
    this.parts = parts
    this.listeners = this.watched()
  }

  open(target: TraceTarget, bounds: TraceBounds): Trace {
    const trace = new Trace(target, bounds, this.parts.clock, (ended) => this.forget(ended))
    if (bounds.signal?.aborted === true) {
      trace.close()
      return trace
    }
    if (this.traces.size === 0) this.begin()
    this.traces.add(trace)
    if (trace.clientId === undefined) this.filters++
    return trace
  }

  /** The broker stops. */
  close(): void {
    for (const trace of this.traces) trace.close()
  }

  private forget(trace: Trace): void {
    if (!this.traces.delete(trace)) return
    if (trace.clientId === undefined) this.filters--
    // what is not followed any more may get other aliases
    if (this.filters === 0) this.sides = new WeakMap()
    if (this.traces.size > 0) return
    this.parts.turn.tracer = null
    for (const [name, listener] of Object.entries(this.listeners))
      this.parts.events.off(name as 'closed', listener as () => void)
  }

  private begin(): void {
    this.parts.turn.tracer = this
    for (const [name, listener] of Object.entries(this.listeners))
      this.parts.events.on(name as 'closed', listener as () => void)
  }

  received(connection: Traced, bytes: Buffer, start: number, end: number): void {
    const { client } = connection
    if (client === null) return
    const topic = this.filters === 0 ? undefined : this.receivedTopic(connection, bytes, start, end)
    const head = (): Buffer => Buffer.from(bytes.subarray(start, Math.min(end, start + KEPT_BYTES)))
    this.tell('received', client.clientId, connection.version, topic, head, end - start)
  }

  sent(connection: object, bytes: Uint8Array): void {
    const traced = connection as Traced
    const { client, version } = traced
    if (client === null || !this.follows(traced)) return
    let side = this.sides.get(connection)
    if (side === undefined) this.sides.set(connection, (side = { stream: new PacketStream(), aliases: new Map() }))
    const { aliases, stream } = side
    stream.push(bytes, (head, size) => {
      const topic = this.filters === 0 ? undefined : this.sentTopic(traced, head, aliases)
      this.tell('sent', client.clientId, version, topic, () => head, size)
    })
  }

  queued(clientId: string, { qos, topic }: TracedMessage): void {
    this.decide('queued', clientId, topic, { topic, qos })
  }

  dropped(clientId: string, topic: string | undefined, reason: string, messages: number): void {
    this.decide('dropped', clientId, topic, { topic, reason, messages })
  }

  follows({ client }: Traced): boolean {
    if (this.filters > 0) return true
    for (const trace of this.traces) if (trace.clientId === client?.clientId) return true
    return false
  }

  private tell(
    kind: 'received' | 'sent',
    clientId: string,
    version: number,
    topic: string | undefined,
    head: () => Buffer,
    size: number,
  ): void {
    let at: Date | undefined
    for (const trace of this.traces) {
      if (!trace.wants(clientId, topic)) continue
      at ??= this.now()
      trace.push({ kind, at, clientId, version, head: head(), size })
    }
  }

  private decide(decision: Decision, clientId: string | undefined, topic: string | undefined, details: Details): void {
    for (const trace of this.traces)
      if (trace.wants(clientId, topic)) trace.push({ kind: 'decision', at: this.now(), clientId, decision, details })
  }

  private now(): Date {
    return new Date(this.parts.clock.wallTime())
  }

  /** The topic of a PUBLISH; undefined for anything else. */
  private receivedTopic(connection: Traced, bytes: Buffer, start: number, end: number): string | undefined {
    const alias = this.readTopic(connection, bytes, start, end)
    if (typeof alias !== 'number') return alias
    const topic = connection.incomingAliases?.get(alias)
    return topic === undefined ? undefined : Buffer.from(topic).toString()
  }

  private sentTopic(connection: Traced, head: Buffer, aliases: Map<number, string>): string | undefined {
    const read = this.readTopic(connection, head, 0, head.length)
    if (typeof read === 'number') return aliases.get(read) ?? connection.session?.outgoingAliases?.topicOf(read)
    const { topicAlias } = this.packet.found
    if (read !== undefined && !this.packet.verbatim && topicAlias > 0) aliases.set(topicAlias, read)
    return read
  }

  /** The topic, or the alias that stands for it. */
  private readTopic({ version }: Traced, bytes: Buffer, start: number, end: number): string | number | undefined {
    if (bytes[start]! >> 4 !== PacketType.Publish) return undefined
    const { frame, packet } = this
    readFrame(frame, bytes, start, end, Number.POSITIVE_INFINITY, false)
    frame.end = end
    try {
      readPublish(packet, bytes, frame, version, true)
    } catch {
      // the connection fails because of it, or there is only a part of it
      return undefined
    }
    const { topicEnd, topicStart } = packet
    if (topicStart < topicEnd) return bytes.toString('utf8', topicStart, topicEnd)
    return packet.verbatim ? undefined : packet.found.topicAlias
  }

  private watched(): Tracing['listeners'] {
    return {
      clientConnected: ({ clientId, protocolVersion, remoteAddress, username }) =>
        this.decide('connected', clientId, undefined, { username, protocolVersion, remoteAddress }),
      clientDisconnected: ({ clientId }, { reasonCode, byClient, error }) =>
        this.decide('disconnected', clientId, undefined, { reasonCode, byClient, code: error?.code }),
      clientError: ({ code, message }, _peer, _client, { clientId, topic }) =>
        this.decide('refused', clientId, topic, { code, message, topic }),
      subscribed: ({ clientId }, { filter, qos }) => this.decide('granted', clientId, undefined, { filter, qos }),
      unsubscribed: ({ clientId }, filter) => this.decide('unsubscribed', clientId, undefined, { filter }),
      sessionCreated: ({ clientId }) => this.decide('session created', clientId, undefined, {}),
      sessionResumed: ({ clientId }) => this.decide('session resumed', clientId, undefined, {}),
      sessionEnded: (clientId, why) => this.decide('session ended', clientId, undefined, { why }),
      retainedChanged: (topic, message) =>
        this.decide('retained', message?.publisher, topic, { topic, isRetained: message !== undefined }),
    }
  }
}
