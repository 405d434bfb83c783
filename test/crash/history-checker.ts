import type { QoS } from '../../src/protocol/packet'
import type { HistoryEvent, SentMessage } from './history'
import { topicMatches } from './topic-matches'

const NEVER = Number.POSITIVE_INFINITY

/** A message, and the events between which the broker took it on. */
interface Publication {
  readonly message: SentMessage
  readonly client: string
  readonly from: number
  acknowledgedAt: number
  readonly clears: boolean
}

/** A Will, and what became of the connection that left it. */
interface LeftWill {
  readonly message: SentMessage
  /** Its CONNECT, its CONNACK, and the DISCONNECT that takes it back. */
  readonly from: number
  connectedAt: number
  cancelledAt: number
  /** The next CONNACK of the client: by then the broker has seen how the connection ended. */
  settledAt: number
}

/** A time in which a client had a subscription, as far as the client can know. */
interface Span {
  readonly filter: string
  readonly qos: QoS
  /** It may be there from `askedAt` on, and is from `grantedAt` to `leavingAt`; after `leftAt` it is gone. */
  readonly askedAt: number
  grantedAt: number
  leavingAt: number
  leftAt: number
}

interface Receipt {
  readonly topic: string
  readonly payload: string
  readonly qos: QoS
}

/**
 * Says what a history has that no broker may show which loses nothing that it has acknowledged: one sentence each,
 * nothing if all is well. The history is one that was played to its end: every client came back and took all there was.
 */
export function checkHistory(events: readonly HistoryEvent[]): string[] {
  const checker = new HistoryChecker(events)
  return checker.check()
}

class HistoryChecker {
  private readonly events: readonly HistoryEvent[]
  private readonly publications = new Map<string, Publication>()
  private readonly wills = new Map<string, LeftWill>()
  /** By client, in the order of its connections. */
  private readonly willsOf = new Map<string, LeftWill[]>()
  /** By client, of the connection that it has or tries to have. */
  private readonly currentWills = new Map<string, LeftWill>()
  private readonly spans = new Map<string, Span[]>()
  /** By client, in their order. */
  private readonly receipts = new Map<string, Receipt[]>()
  /** By client and payload. */
  private readonly receiptsOf = new Map<string, Receipt[]>()
  private readonly kills: number[] = []
  private readonly found: string[] = []

  constructor(events: readonly HistoryEvent[]) {
    this.events = events
  }

  check(): string[] {
    for (const [at, event] of this.events.entries()) this.note(event, at)
    this.checkSessionPresent()
    for (const publication of this.publications.values()) this.checkPublication(publication)
    for (const will of this.wills.values()) this.checkWill(will)
    for (const client of this.receipts.keys()) this.checkReceipts(client)
    this.checkRetained()
    return this.found
  }

  private note(event: HistoryEvent, at: number): void {
    switch (event.type) {
      case 'killed':
        this.kills.push(at)
        return
      case 'violation':
        this.found.push(`${event.client}: ${event.text}`)
        return
      case 'publishing': {
        const { message, client, clears = false } = event
        this.publications.set(message.payload, { message, client, from: at, acknowledgedAt: NEVER, clears })
        return
      }
      case 'acknowledged':
        this.publications.get(event.payload)!.acknowledgedAt = at
        return
      case 'received':
        listOf(this.receipts, event.client).push(event)
        listOf(this.receiptsOf, `${event.client} ${event.payload}`).push(event)
        return
      case 'connecting':
      case 'connected':
      case 'disconnecting':
        this.noteConnection(event, at)
        return
      case 'subscribing':
      case 'subscribed':
      case 'unsubscribing':
      case 'unsubscribed':
        this.noteSubscription(event, at)
    }
  }

  private noteConnection(
    event: Extract<HistoryEvent, { type: 'connecting' | 'connected' | 'disconnecting' }>,
    at: number,
  ): void {
    const { client } = event
    const current = this.currentWills.get(client)
    if (event.type === 'connecting') {
      this.currentWills.delete(client)
      if (event.will === undefined) return
      const will = { message: event.will, from: at, connectedAt: NEVER, cancelledAt: NEVER, settledAt: NEVER }
      listOf(this.willsOf, client).push(will)
      this.currentWills.set(client, will)
      this.wills.set(event.will.payload, will)
    } else if (event.type === 'disconnecting') {
      if (current !== undefined) current.cancelledAt = at
    } else {
      if (current !== undefined) current.connectedAt = at
      for (const will of listOf(this.willsOf, client))
        if (will !== current) will.settledAt = Math.min(will.settledAt, at)
    }
  }

  private noteSubscription(
    event: Extract<HistoryEvent, { type: 'subscribing' | 'subscribed' | 'unsubscribing' | 'unsubscribed' }>,
    at: number,
  ): void {
    const spans = listOf(this.spans, event.client)
    const span = spans.findLast(({ filter }) => filter === event.filter)
    switch (event.type) {
      case 'subscribing':
        // asked again because the answer got lost, or for what is there already
        if (span !== undefined && span.leavingAt === NEVER) return
        spans.push({
          filter: event.filter,
          qos: event.qos,
          ...{ askedAt: at, grantedAt: NEVER, leavingAt: NEVER, leftAt: NEVER },
        })
        return
      case 'subscribed':
        if (span !== undefined && span.grantedAt === NEVER) span.grantedAt = at
        return
      case 'unsubscribing':
        if (span !== undefined && span.leavingAt === NEVER) span.leavingAt = at
        return
      default:
        for (const each of spans) if (each.filter === event.filter && each.leftAt === NEVER) each.leftAt = at
    }
  }

  /** A client that never says Clean Session finds its session whenever it had a CONNACK before. */
  private checkSessionPresent(): void {
    const attempts = new Map<string, number>()
    const known = new Set<string>()
    for (const event of this.events) {
      if (event.type === 'connecting') attempts.set(event.client, (attempts.get(event.client) ?? 0) + 1)
      if (event.type !== 'connected') continue
      if (known.has(event.client) && !event.present)
        this.found.push(`the session of ${event.client} is lost: Session Present is 0`)
      if (!known.has(event.client) && event.present && attempts.get(event.client) === 1)
        this.found.push(`${event.client} has a session that it never asked for: Session Present is 1`)
      known.add(event.client)
    }
  }

  private checkPublication({ message, client, from, acknowledgedAt }: Publication): void {
    if (acknowledgedAt === NEVER) this.found.push(`${message.payload} of ${client} was never acknowledged`)
    for (const [subscriber, spans] of this.spans) this.checkDelivery(message, from, acknowledgedAt, subscriber, spans)
  }

  /** The broker took the message on between the events `from` and `until`: who had it coming? */
  private checkDelivery(
    message: SentMessage,
    from: number,
    until: number,
    subscriber: string,
    spans: readonly Span[],
  ): void {
    const matching = spans.filter(({ filter }) => topicMatches(filter, message.topic))
    const certain = matching.find(({ grantedAt, leavingAt }) => grantedAt < from && until < leavingAt)
    const possible = matching.filter(({ askedAt, leftAt }) => askedAt < until && from < leftAt)
    const receipts = this.receiptsOf.get(`${subscriber} ${message.payload}`) ?? []
    if (receipts.length > 0 && possible.length === 0)
      this.found.push(`${message.payload} came to ${subscriber}, who is not subscribed to ${message.topic}`)
    if (receipts.length === 0 && certain !== undefined)
      this.found.push(`${message.payload} is lost: it was acknowledged and never came to ${subscriber}`)
    for (const { topic, qos } of receipts) {
      if (topic !== message.topic) this.found.push(`${message.payload} came to ${subscriber} with the topic ${topic}`)
      if (possible.length > 0 && !possible.some((span) => Math.min(span.qos, message.qos) === qos))
        this.found.push(`${message.payload} came to ${subscriber} with QoS ${qos}`)
    }
    if (receipts.length > 1 && receipts.every(({ qos }) => qos === 2))
      this.found.push(`${message.payload} came ${receipts.length} times to ${subscriber} with QoS 2`)
  }

  /** Published once for each connection that ended without DISCONNECT. */
  private checkWill({ message, from, connectedAt, cancelledAt, settledAt }: LeftWill): void {
    const came = [...this.spans.keys()].some((subscriber) => this.receiptsOf.has(`${subscriber} ${message.payload}`))
    // after a crash, or when it came too late, the broker does not know of the DISCONNECT
    const isForgotten = this.kills.some((at) => at > connectedAt && at < settledAt)
    if (cancelledAt !== NEVER && came && !isForgotten)
      this.found.push(`${message.payload} came although its client said DISCONNECT`)
    // a connection without CONNACK may have left its Will or not
    const isCertain = connectedAt !== NEVER && settledAt !== NEVER && cancelledAt === NEVER
    for (const [subscriber, spans] of this.spans)
      this.checkDelivery(message, from, isCertain ? settledAt : NEVER, subscriber, spans)
  }

  private checkReceipts(client: string): void {
    const seen = new Set<string>()
    const last = new Map<string, Publication>()
    for (const { payload, topic, qos } of this.receipts.get(client)!) {
      const publication = this.publications.get(payload)
      if (publication === undefined) {
        if (!this.wills.has(payload)) this.found.push(`${payload} came to ${client}, and nobody has published it`)
        continue
      }
      if (seen.has(payload)) continue
      seen.add(payload)
      // order is promised for one publisher, topic and QoS [MQTT-4.6.0-6]
      const line = `${publication.client} ${topic} ${publication.message.qos} ${qos}`
      const before = last.get(line)
      if (before !== undefined && before.from > publication.from && !this.cameAgain(client, publication))
        this.found.push(`${payload} came to ${client} after ${before.message.payload}`)
      last.set(line, publication)
    }
  }

  /**
   * Who subscribes while QoS 1 messages are on their way may get the later ones first: the earlier ones come when their
   * publisher, not acknowledged, sends them again.
   */
  private cameAgain(client: string, { message, from }: Publication): boolean {
    if (message.qos !== 1) return false
    const spans = this.spans.get(client) ?? []
    return !spans.some(
      ({ filter, grantedAt, leftAt }) => topicMatches(filter, message.topic) && grantedAt < from && from < leftAt,
    )
  }

  /** What is retained: the last message that was acknowledged, or one that came later. */
  private checkRetained(): void {
    const readers = new Map<string, number>()
    this.events.forEach((event, at) => {
      if (event.type === 'reading') readers.set(event.reader, at)
      if (event.type !== 'read') return
      const from = readers.get(event.reader)!
      const topics = new Map<string, Publication[]>()
      for (const publication of this.publications.values())
        if (publication.message.retain && publication.from < at)
          listOf(topics, publication.message.topic).push(publication)
      for (const [topic, publications] of topics) this.checkTopic(topic, publications, from, event.payloads[topic])
      for (const topic of Object.keys(event.payloads))
        if (!topics.has(topic)) this.found.push(`${topic} has a retained message that nobody published`)
    })
  }

  private checkTopic(
    topic: string,
    publications: readonly Publication[],
    from: number,
    payload: string | undefined,
  ): void {
    let last = -1
    publications.forEach(({ acknowledgedAt }, i) => {
      if (acknowledgedAt < from) last = i
    })
    const allowed: (string | undefined)[] = publications
      .slice(Math.max(last, 0))
      .map(({ message, clears }) => (clears ? undefined : message.payload))
    if (last === -1) allowed.push(undefined)
    if (allowed.includes(payload)) return
    const expected = allowed.map((each) => each ?? 'nothing').join(' or ')
    this.found.push(`${topic} retains ${payload ?? 'nothing'} instead of ${expected}`)
  }
}

function listOf<K, V>(map: Map<K, V[]>, key: K): V[] {
  let list = map.get(key)
  if (list === undefined) {
    list = []
    map.set(key, list)
  }
  return list
}
