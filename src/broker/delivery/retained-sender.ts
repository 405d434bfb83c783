import type { Clock } from '../../ports/clock'
import type { StoredSubscription } from '../../ports/store'
import type { Message } from '../../protocol/message'
import type { QoS } from '../../protocol/packet'
import { type IsMissed, Replay } from '../../routing/replay'
import type { RetainedMessages } from '../../routing/retained-messages'
import type { Router } from '../../routing/router'
import { hasSameOptions, type Subscription, type SubscriptionOptions } from '../../routing/subscription'
import { Delivery, noIdentifiers } from '../../session/delivery'
import { deliver, Outcome } from '../../session/sender'
import type { Session } from '../../session/session'
import type { CommitJournal } from '../commits/commit-journal'
import type { Connection } from '../wire/connection'
import type { Rota } from '../wire/rota'
import { type AwaitingCommit, sendAfterCommit } from './awaiting-commit'

/** What is done in one go, in messages; then other connections get their turn. */
const STEP = 256
/** Nodes that are looked at, at the most, to see whether there is anything at all. */
const LOOK = 64
/** Messages that a pause of a walk counts as. */
const PAUSE_COST = 32
/** Topics that are remembered as missed; beyond that, all count as such. */
const MAXIMUM_MISSED = 1024
/** Milliseconds until another attempt after the store has refused one. */
const RETRY_MS = 1000

/** What one subscription is still to get. */
interface SubscriptionReplay {
  readonly replay: Replay
  readonly subscription: Subscription<Session>
  /** Whether the store has it. */
  readonly isStored: boolean
  /** Requests for the filter that came in one SUBSCRIBE and differ, in order: all of it comes once for each of them. */
  requests: SubscriptionOptions[]
  /** Whether the last request has the options of the subscription as they are now. */
  isCurrent: boolean
  /** Whether anything was looked up yet: until then the same SUBSCRIBE may add requests. */
  isStarted: boolean
}

/** What all subscriptions of one session are still to get. */
class SessionReplays {
  readonly session: Session
  /** By filter; the next to have its turn comes first. */
  readonly pending = new Map<string, SubscriptionReplay>()
  /** The connection that gets them; null, or a former one, while they wait for the next. */
  connection: Connection | null = null
  /** True while the client has to take something before anything goes on. */
  isWaiting = false
  /** How many steps there were: whatever wanted to make one that was made since is too late. */
  steps = 0
  private missed: Set<string> | null = null
  private isEverythingMissed = false
  readonly isMissed: IsMissed = (topic) => this.isEverythingMissed || (this.missed?.has(topic) ?? false)

  constructor(session: Session) {
    this.session = session
  }

  miss(topic: string): void {
    if (this.pending.size === 0 || this.isEverythingMissed) return
    this.missed ??= new Set()
    this.isEverythingMissed = this.missed.add(topic).size > MAXIMUM_MISSED
    if (this.isEverythingMissed) this.missed = null
  }
}

/** What one step does: its bounds, and what it has touched. */
class Step {
  left = STEP
  /** QoS 2 that is sent once its identifier is committed. */
  readonly awaiting: AwaitingCommit[] = []
  /** What went on, and from which topic. */
  readonly touched: { one: SubscriptionReplay; after: string }[] = []

  constructor(
    readonly replays: SessionReplays,
    readonly connection: Connection,
  ) {}

  /** Whether the connection takes anything now. */
  get isOpen(): boolean {
    const { session } = this.replays
    const { output } = session
    return output === this.connection.outbox && !output.congested && !session.unread
  }

  /** QoS 1 and 2 need a place in the window, behind what waits in the session and what is to be sent again. */
  hasPlaceFor(one: SubscriptionReplay): boolean {
    if (optionsIn(one).qos === 0) return true
    const { session } = this.replays
    if (session.queuedMessages > 0 || session.inflightCount >= session.window) return false
    return session.toResend === null || session.toResend.length === 0
  }
}

export interface RetainedSenderParts {
  readonly clock: Clock
  readonly journal: CommitJournal
  readonly retained: RetainedMessages
  readonly router: Router<Session>
  readonly rota: Rota
}

/**
 * Sends the retained messages that new subscriptions ask for, no faster than the client takes them and never long at a
 * time. None of them waits in the queue of the session: what is still to come is a topic for each subscription. A durable
 * session keeps that until its client is back, and the store has it with the subscription.
 */
export class RetainedSender {
  private readonly parts: RetainedSenderParts
  private readonly replays = new WeakMap<Session, SessionReplays>()

  constructor(parts: RetainedSenderParts) {
    this.parts = parts
  }

  /**
   * A subscription was made, or replaced; `recordOf` tells what is to be committed of it. `isNew` if there was none with its
   * filter. [MQTT-3.3.1-9] to -11 say which of them bring retained messages.
   */
  granted(subscription: Subscription<Session>, isNew: boolean): void {
    const { filter, group, retainHandling, subscriber: session } = subscription
    if (group !== null) return
    const pending = this.replays.get(session)?.pending
    const known = pending?.get(filter)
    if (retainHandling === 0 || (retainHandling === 1 && isNew)) this.begin(session, subscription, known)
    // [MQTT-3.8.4-5] what a former filter of the same SUBSCRIBE has asked for comes all the same
    else if (known?.subscription === subscription && !known.isStarted) known.isCurrent = false
    // with Retain Handling 1 a subscription goes on with what it was still to get
    else if (retainHandling === 2) pending?.delete(filter)
  }

  private begin(session: Session, subscription: Subscription<Session>, known: SubscriptionReplay | undefined): void {
    const { filter } = subscription
    const isStored = session.journal !== null
    if (known?.subscription === subscription && !known.isStarted) {
      // one that asks for the same as another brings nothing more
      const options = optionsOf(subscription)
      const same = known.requests.findIndex((request) => hasSameOptions(request, options))
      if (same >= 0) known.requests.splice(same, 1)
      known.requests.push(options)
      known.isCurrent = true
    } else if (this.isNothingRetained(filter, isStored)) this.replays.get(session)?.pending.delete(filter)
    else this.add(session, subscription, new Replay(this.parts.retained, filter), isStored)
  }

  /** Most subscriptions find nothing: they need no record of that, nor another one of its end. */
  private isNothingRetained(filter: string, thoroughly: boolean): boolean {
    const { retained } = this.parts
    if (retained.count === 0) return true
    if (!filter.includes('+') && !filter.includes('#')) return retained.get(filter) === undefined
    return thoroughly && retained.walk(filter, '', LOOK).next().done === true
  }

  private add(session: Session, subscription: Subscription<Session>, replay: Replay, isStored: boolean): void {
    let replays = this.replays.get(session)
    if (replays === undefined) this.replays.set(session, (replays = new SessionReplays(session)))
    const { filter } = subscription
    replays.pending.delete(filter)
    const requests = [optionsOf(subscription)]
    replays.pending.set(filter, { replay, subscription, isStored, requests, isCurrent: true, isStarted: false })
  }

  /** A subscription comes back with the store, and has got the retained messages up to the topic `after`. */
  restore(subscription: Subscription<Session>, after: string): void {
    const replay = new Replay(this.parts.retained, subscription.filter, after)
    this.add(subscription.subscriber, subscription, replay, true)
  }

  /** The session of this connection has subscribed, or goes on. */
  start(connection: Connection): void {
    const replays = this.replays.get(connection.session!)
    if (replays === undefined || replays.pending.size === 0) return
    if (replays.connection === connection && !replays.isWaiting) return
    replays.connection = connection
    this.step(replays, connection, replays.steps)
  }

  /** A subscription has ended, and what it was still to get with it [MQTT-3.10.4-2]. */
  ended(session: Session, filter: string): void {
    this.replays.get(session)?.pending.delete(filter)
  }

  /** A subscription is granted less, also for what it is still to get. */
  lowered(session: Session, filter: string, qos: QoS): void {
    const one = this.replays.get(session)?.pending.get(filter)
    if (one === undefined) return
    one.requests = one.requests.map((request) => (request.qos > qos ? { ...request, qos } : request))
  }

  /** What the store is to have of a subscription. */
  recordOf(subscription: Subscription<Session>): StoredSubscription {
    const { filter, group, subscriber: session } = subscription
    if (group !== null) return stored(subscription, undefined)
    return stored(subscription, this.replays.get(session)?.pending.get(filter)?.replay.after)
  }

  /** What was retained did not reach a session when it was published: a replay under way brings it. */
  missed(session: Session, topic: string): void {
    this.replays.get(session)?.miss(topic)
  }

  private step(replays: SessionReplays, connection: Connection, number: number): void {
    if (replays.connection !== connection || replays.steps !== number) return
    replays.steps++
    replays.isWaiting = false
    if (replays.session.output !== connection.outbox) return
    const step = new Step(replays, connection)
    const isMore = this.sendSome(step)
    const { clock, journal } = this.parts
    const committed = journal.commit()
    sendAfterCommit(clock, committed, step.awaiting)
    if (committed !== undefined) {
      // no sooner: QoS 2 that the store refuses has to come again, and nothing that came after it
      committed.then(
        () => this.step(replays, connection, number + 1),
        () => this.refused(step),
      )
    } else if (replays.pending.size === 0) {
      replays.connection = null
      this.replays.delete(replays.session)
    } else this.goOn(replays, connection, isMore)
  }

  /** The next step: after others have had their turn, or once the client has taken something. */
  private goOn(replays: SessionReplays, connection: Connection, isMore: boolean): void {
    if (isMore) {
      this.schedule(replays, connection)
      return
    }
    replays.isWaiting = true
    connection.onTaken = () => this.schedule(replays, connection)
  }

  private schedule(replays: SessionReplays, connection: Connection): void {
    const { steps } = replays
    this.parts.rota.add({ takeTurn: () => this.step(replays, connection, steps) })
  }

  /** The store has kept nothing of a step. QoS 2 was not sent and comes again, and the rest of the step with it. */
  private refused({ replays, connection, awaiting, touched }: Step): void {
    const { steps, pending } = replays
    for (const { one, after } of touched) {
      const { filter } = one.subscription
      // also what came to its end, because the store does not know that yet
      if (!pending.has(filter)) pending.set(filter, one)
      if (awaiting.length > 0) one.replay.rest(after)
    }
    this.parts.clock.after(RETRY_MS, () => this.step(replays, connection, steps))
  }

  /** False if nothing can go on before the client has taken something. */
  private sendSome(step: Step): boolean {
    const { session, pending } = step.replays
    for (const [filter, one] of pending) {
      if (step.left <= 0) return true
      if (!step.isOpen) return false
      if (this.parts.router.subscription(session, filter) !== one.subscription) {
        // the subscription has ended
        pending.delete(filter)
        step.left--
      } else if (step.hasPlaceFor(one)) this.sendSomeOf(one, step)
    }
    return false
  }

  private sendSomeOf(one: SubscriptionReplay, step: Step): void {
    const { session, pending } = step.replays
    const { replay, subscription } = one
    const { lastPosition } = session
    one.isStarted = true
    step.touched.push({ one, after: replay.after })
    const isDone = this.walk(one, step)
    // the others come first now
    if (pending.get(subscription.filter) === one) {
      pending.delete(subscription.filter)
      if (!isDone) pending.set(subscription.filter, one)
    }
    if (!one.isStored || session.journal === null || (!isDone && session.lastPosition === lastPosition)) return
    this.parts.journal.advanceReplay(session, stored(subscription, isDone ? undefined : replay.after))
  }

  /** True at the end of the replay. */
  private walk(one: SubscriptionReplay, step: Step): boolean {
    const { replays } = step
    const now = this.parts.clock.now()
    while (step.left > 0) {
      if (!step.isOpen || !step.hasPlaceFor(one)) {
        // it may take long: nothing but a topic is kept meanwhile
        one.replay.rest()
        return false
      }
      const message = one.replay.next(replays.isMissed)
      if (message === undefined) {
        if (one.requests.length === 1) return true
        one.requests.shift()
        step.left--
        one.replay.rest('')
        continue
      }
      step.left -= message === null ? PAUSE_COST : 1
      if (message !== null) this.send(optionsIn(one), message, step, now)
    }
    return false
  }

  private send(options: SubscriptionOptions, message: Message, step: Step, now: number): void {
    const { session } = step.replays
    if (message.expiresAt !== 0 && message.expiresAt <= now) return
    // [MQTT-3.8.3-3] No Local: not to the client that published it
    if (options.noLocal && message.publisher === session.clientId) return
    const qos = message.qos < options.qos ? message.qos : options.qos
    const { subscriptionIdentifier } = options
    const identifiers = subscriptionIdentifier === 0 ? noIdentifiers : [subscriptionIdentifier]
    const delivery = new Delivery(message, qos, true, identifiers, null)
    delivery.arrivedAt = Math.trunc(now / 1000)
    const outcome = deliver(session, delivery, now)
    if (outcome === Outcome.AwaitsCommit) step.awaiting.push({ session, identifier: session.inflight!.lastIdentifier })
  }
}

/** What the store keeps of a subscription: `replayAfter` only while there is something to come. */
function stored(subscription: Subscription<Session>, replayAfter: string | undefined): StoredSubscription {
  const { filter, qos, noLocal, retainAsPublished, retainHandling, subscriptionIdentifier } = subscription
  const options = { filter, qos, noLocal, retainAsPublished, retainHandling, subscriptionIdentifier }
  return replayAfter === undefined ? options : { ...options, replayAfter }
}

/** A copy: the subscription itself changes when it is replaced. */
function optionsOf(subscription: SubscriptionOptions): SubscriptionOptions {
  const { qos, noLocal, retainAsPublished, retainHandling, subscriptionIdentifier } = subscription
  return { qos, noLocal, retainAsPublished, retainHandling, subscriptionIdentifier }
}

/** The options that retained messages are sent with now. */
function optionsIn({ isCurrent, requests, subscription }: SubscriptionReplay): SubscriptionOptions {
  return isCurrent && requests.length === 1 ? subscription : requests[0]!
}
