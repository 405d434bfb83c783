import type { ExplainCause, Explanation, GivenExplainRequest as Request } from '../../ports/explanation'
import { DropReason, dropReasonName } from '../../protocol/drop-reason'
import { createMessage } from '../../protocol/message'
import { LARGE_PACKET } from '../../protocol/output'
import type { QoS } from '../../protocol/packet'
import { isSystemTopic, matches, topicNameError } from '../../protocol/topic'
import { variableByteIntegerLength } from '../../protocol/variable-byte-integer'
import type { RetainedMessages } from '../../routing/retained-messages'
import type { SharedGroup } from '../../routing/shared-group'
import type { Subscription } from '../../routing/subscription'
import { hasRoom } from '../../session/room'
import type { Session } from '../../session/session'
import { isAllowed } from '../hooks/answers'
import type { Authorization } from '../hooks/authorization'
import { willView } from '../hooks/publish-view'
import type { EndedSessions } from '../sessions/ended-sessions'
import { Findings } from './findings'
import { Pace, type Run } from './pace'
import type { SessionSources } from './session-info'

export interface ExplainerParts extends SessionSources {
  readonly retained: RetainedMessages
  readonly authorization: Authorization
  readonly ended: EndedSessions
  readonly journal: Run
  readonly maximumTopicLevels: number
}

/** Of a longer queue it is not said where the messages of the topic stand. */
const LONG_QUEUE = 10_000

interface Found {
  readonly matching: Subscription<Session>[]
  readonly hidden: string[]
}

const NO_NAMES: readonly string[] = Object.freeze([])
/** Causes of what was lost, by `DropReason`. */
const causes: readonly ExplainCause[] = Object.freeze(['slow reader', 'queue full', 'expired', 'too large', 'denied'])

/** Says why a client gets a message, or does not, by what holds at the moment and by what is remembered. */
export class Explainer {
  private readonly parts: ExplainerParts

  constructor(parts: ExplainerParts) {
    this.parts = parts
  }

  async explain(request: Request): Promise<Explanation> {
    const { clientId, topic } = request
    const findings = new Findings()
    await this.check(request, findings)
    return findings.explanation(clientId, topic, new Date(this.parts.clock.wallTime()))
  }

  private async check(request: Request, findings: Findings): Promise<void> {
    this.checkTopic(request, findings)
    if (findings.isRefused) return
    await this.checkPublisher(request, findings)
    if (findings.isRefused) return
    const session = this.parts.registry.get(request.clientId)
    if (session === undefined) {
      this.explainMissing(request.clientId, findings)
      return
    }
    findings.pass('session', 'the client has a session', { durable: session.durable })
    const { hidden, matching } = await this.subscriptions(session, request.topic)
    this.checkSubscriptions(session, request, matching, hidden, findings)
    if (findings.isRefused) return
    if (request.retained) this.checkRetained(request.topic, matching, findings)
    else this.checkShare(session, matching, findings)
    if (!findings.isRefused) this.checkDelivery(session, request, matching, findings)
    this.lookBack(session, request.topic, findings)
  }

  private checkTopic({ topic, publisher }: Request, findings: Findings): void {
    const error = topicNameError(topic, this.parts.maximumTopicLevels)
    if (error !== undefined) findings.refuse('topic', 'topic invalid', error)
    else if (publisher !== undefined && isSystemTopic(topic))
      findings.refuse('topic', 'publisher denied', 'no client may publish below $SYS')
    else findings.pass('topic', 'a message can be published to the topic')
  }

  /** Asks the rights of the publisher, and the hook, about a message without payload. */
  private async checkPublisher({ publisher, qos, topic }: Request, findings: Findings): Promise<void> {
    if (publisher === undefined) return
    const client = this.parts.registry.connection(publisher)?.client
    if (client == null) {
      findings.pass('publisher', 'the publisher is not connected: what it may publish is not known', { publisher })
      return
    }
    const message = { topic, payload: Buffer.alloc(0), qos, retain: false, willDelayInterval: 0, properties: {} }
    const answer = await this.parts.authorization.publish(client, willView(message))
    if (isAllowed(answer)) findings.pass('publisher', 'the publisher may publish to the topic', { publisher })
    else findings.refuse('publisher', 'publisher denied', 'the publisher may not publish to the topic', { publisher })
  }

  private explainMissing(clientId: string, findings: Findings): void {
    const { clock, ended } = this.parts
    const end = ended.of(clientId)
    if (end === undefined) {
      findings.refuse(
        'session',
        'no session',
        'there is no session with this Client Identifier, as far as is remembered',
      )
      return
    }
    const at = new Date(clock.wallTime() + end.at - clock.now())
    const cause = end.why === 'expired' ? 'session expired' : 'session ended'
    const text = end.why === 'expired' ? 'the Session Expiry Interval was over' : 'the session has ended'
    findings.refuse('session', cause, text, { why: end.why, at })
  }

  /** The subscriptions that match, and the filters that would if the topic did not begin with `$`. */
  private async subscriptions(session: Session, topic: string): Promise<Found> {
    const pace = new Pace(this.parts.clock, this.parts.journal)
    const plain = topic.startsWith('$') ? topic.slice(1) : undefined
    const found: Found = { matching: [], hidden: [] }
    for (const subscription of this.parts.router.subscriptionsOf(session)) {
      const { filter } = subscription.node
      if (matches(filter, topic)) found.matching.push(subscription)
      else if (plain !== undefined && /^[+#]/.test(filter) && matches(filter, plain))
        found.hidden.push(subscription.filter)
      if (pace.isOverAfter(1)) await pace.othersTurn()
    }
    return found
  }

  private checkSubscriptions(
    session: Session,
    { clientId, publisher }: Request,
    matching: readonly Subscription<Session>[],
    hidden: readonly string[],
    findings: Findings,
  ): void {
    const filters = matching.map(({ filter, noLocal, qos }) => ({ filter, qos, noLocal }))
    if (matching.length > 0) {
      findings.pass('subscription', 'subscriptions match the topic', { filters })
      const isOwn = publisher === clientId
      if (isOwn && matching.every(({ noLocal }) => noLocal))
        findings.refuse('no local', 'no local', 'the client has published it itself, and has subscribed with No Local')
      else if (isOwn) findings.pass('no local', 'the client gets its own messages')
      return
    }
    if (hidden.length > 0) {
      const text = 'topics that begin with $ are hidden from a wildcard in the first level [MQTT-4.7.2-1]'
      findings.refuse('subscription', 'hidden from wildcard', text, { filters: hidden })
    } else
      findings.refuse('subscription', 'no subscription', 'no subscription of the session matches the topic', {
        subscriptions: this.parts.router.countOf(session),
      })
  }

  private checkRetained(topic: string, matching: readonly Subscription<Session>[], findings: Findings): void {
    const { clock, retained } = this.parts
    const message = retained.get(topic)
    if (message === undefined || (message.expiresAt !== 0 && message.expiresAt <= clock.now())) {
      findings.refuse('retained', 'nothing retained', 'the topic retains no message')
      return
    }
    const plain = matching.filter(({ group }) => group === null)
    if (plain.length === 0)
      findings.refuse('retained', 'shared group', 'a shared subscription brings no retained messages [MQTT-4.8.2]')
    else if (plain.every(({ retainHandling }) => retainHandling === 2))
      findings.refuse('retained', 'retain handling', 'the subscription has Retain Handling 2: it brings none')
    else if (plain.every(({ retainHandling }) => retainHandling > 0)) {
      const text = 'the subscription has Retain Handling 1: it brings them only where it is new'
      findings.pass('retained', text, { size: message.payload.length })
    } else findings.pass('retained', 'the topic retains a message', { size: message.payload.length })
  }

  private checkShare(session: Session, matching: readonly Subscription<Session>[], findings: Findings): void {
    const isShared = matching.every(({ group }) => group !== null)
    for (const { filter, group } of matching) {
      if (group === null) continue
      const { last, members } = group as SharedGroup<Session>
      const got = last?.subscriber.clientId
      const details = { filter, members: members.length, last: got }
      if (isShared && members.length > 1 && got !== undefined && last!.subscriber !== session)
        findings.refuse('share', 'shared group', `the group has given its last message to ${got}`, details)
      else findings.pass('share', 'the shared group has this member', details)
    }
  }

  private checkDelivery(
    session: Session,
    request: Request,
    matching: readonly Subscription<Session>[],
    findings: Findings,
  ): void {
    const granted = Math.max(...matching.map(({ qos }) => qos))
    const qos = Math.min(request.qos, granted) as QoS
    findings.pass('qos', `the client gets it with QoS ${qos}`, { published: request.qos, granted })
    if (session.output === null) this.checkAbsent(session, qos, findings)
    else {
      this.checkGate(session, request, qos, findings)
      this.checkSize(session, request, qos, findings)
      this.checkReader(session, request, qos, findings)
    }
    if (!findings.isRefused && qos > 0) this.checkWindow(session, request, findings)
    if (!findings.isRefused && findings.isDelayed) this.checkQueue(session, request, findings)
  }

  private checkAbsent(session: Session, qos: QoS, findings: Findings): void {
    if (qos > 0 || (session.limits.queueQoS0 && session.durable))
      findings.delay('connection', 'absent', 'the client is not connected: the message waits in its session')
    else findings.refuse('connection', 'offline', 'the client is not connected, and QoS 0 does not wait for it')
  }

  /** Asks rights and `authorizeDelivery` as they are asked for each message; its payload is empty. */
  private checkGate(session: Session, { topic }: Request, qos: QoS, findings: Findings): void {
    findings.pass('connection', 'the client is connected')
    if (session.gate === null) return
    const message = createMessage(topic, Buffer.alloc(0), undefined, qos, false, 0, undefined)
    if (session.gate(message, qos)) findings.pass('delivery', 'the client may have the message')
    else findings.refuse('delivery', 'denied', 'rights or authorizeDelivery deny the message to the client')
  }

  private checkSize(session: Session, { size, topic }: Request, qos: QoS, findings: Findings): void {
    const { maximumPacketSize, version } = session.output!
    const body = 2 + Buffer.byteLength(topic) + (qos > 0 ? 2 : 0) + (version === 5 ? 1 : 0) + size
    const length = 1 + variableByteIntegerLength(body) + body
    const details = { length, maximumPacketSize }
    if (length > maximumPacketSize)
      findings.refuse('size', 'too large', 'the packet is larger than the Maximum Packet Size of the client', details)
    else findings.pass('size', 'the client takes a packet of this size', details)
  }

  private checkReader(session: Session, { size }: Request, qos: QoS, findings: Findings): void {
    const output = session.output!
    if (!output.congested && (size <= LARGE_PACKET || qos > 0))
      findings.pass('reader', 'the client reads what it is sent')
    else if (!output.congested) findings.pass('reader', 'a large packet is sent as far as there is room for it')
    else if (qos === 0)
      findings.refuse('reader', 'slow reader', 'the client reads too slowly: QoS 0 is dropped until it has caught up')
    else
      findings.delay('reader', 'slow reader', 'the client reads too slowly: the message waits until it has caught up')
  }

  private checkWindow(session: Session, { size }: Request, findings: Findings): void {
    const { inflightCount: inflight, queuedMessages: queued, unread, window } = session
    if (unread) findings.delay('restored', 'restoring', 'what the session has in the store has not been read yet')
    if (session.output !== null) {
      const details = { inflight, window }
      if (inflight >= window)
        findings.delay('window', 'window full', 'the client has to acknowledge other messages first', details)
      else if (!session.mayFly(size))
        findings.delay('window', 'window bytes full', 'the messages in flight have too many bytes', {
          inflightBytes: session.inflight?.bytes,
          maximumInflightBytes: session.limits.maximumInflightBytes,
        })
      else findings.pass('window', 'the window has room', details)
    }
    if (queued > 0) findings.delay('queue', 'waits', `${queued} messages wait before it`, { queued })
  }

  /** A message that waits needs room. */
  private checkQueue(session: Session, { size, topic }: Request, findings: Findings): void {
    const { limits, queuedBytes, queuedMessages } = session
    const { maximumQueuedBytes, maximumQueuedMessages, overflow } = limits
    const bytes = Buffer.byteLength(topic) + size
    const { queue } = session
    const waiting = queue === null || queue.length > LONG_QUEUE ? NO_NAMES : queue.topics()
    const details = {
      ...{ queuedMessages, maximumQueuedMessages, queuedBytes, maximumQueuedBytes, overflow },
      ofTopic: waiting.filter((other) => other === topic).length,
      firstOfTopic: waiting.indexOf(topic) + 1 || undefined,
    }
    const fault =
      queuedMessages >= maximumQueuedMessages
        ? 'queue full'
        : queuedBytes + bytes > maximumQueuedBytes
          ? 'queue bytes full'
          : hasRoom(session, bytes)
            ? undefined
            : 'all queues full'
    if (fault === undefined) findings.pass('room', 'the queue has room', details)
    else if (overflow === 'drop-oldest')
      findings.lose('room', fault, 'the queue has no room: the oldest messages are dropped for it', details)
    else findings.refuse('room', fault, 'the queue has no room: the message is dropped', details)
  }

  /** What the session has lost: the last of each reason, of this topic or of one that is not known. */
  private lookBack({ drops }: Session, topic: string, findings: Findings): void {
    if (drops === null) return
    const { clock } = this.parts
    const known = Object.values(DropReason).filter((reason) => drops.lastTopics[reason] === topic)
    const unknown = Object.values(DropReason).filter(
      (reason) => drops.counts[reason]! > 0 && drops.lastTopics[reason] === undefined,
    )
    const latestFirst = (reasons: DropReason[]): DropReason[] =>
      reasons.sort((a, b) => drops.lastAt[b]! - drops.lastAt[a]!)
    for (const reason of [...latestFirst(known), ...latestFirst(unknown)]) {
      const at = new Date(clock.wallTime() + drops.lastAt[reason]! * 1000 - clock.now())
      const details = {
        reason: dropReasonName(reason),
        at,
        topic: drops.lastTopics[reason],
        dropped: drops.counts[reason],
      }
      findings.lose('history', causes[reason]!, 'a former message was dropped', details)
    }
  }
}
