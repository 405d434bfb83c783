import type { Message } from '../../protocol/message'
import type { Route } from '../../routing/route'
import type { Router } from '../../routing/router'
import type { SharedGroup } from '../../routing/shared-group'
import type { Session } from '../../session/session'
import type { CommitJournal } from '../commits/commit-journal'
import { LOOK } from '../wire/slice'
import type { Turn } from '../wire/turn'
import type { Publication } from './publication'
import { WideMessage, type WideRequest } from './wide-message'

/** Receivers that are told between two looks at the clock, and what one costs in units of effort. */
const MARKS = 512
const MARKS_EFFORT = LOOK
/** Units of effort of one receiver: of QoS 0, of QoS 1 or 2, of one that a commit is for, and of a shared group. */
const AT_MOST_ONCE = 1
const ACKNOWLEDGED = 2
const JOURNALED = 16
const GROUP = 32

/** What is done for one message: the same as for one to few receivers. */
export interface FanoutSteps {
  /** Whether it is in the midst of something. */
  isWithin(): boolean
  /** Does `work` as a part of a publication, commits it for `publisher` and sees to what follows; returns the commit. */
  within(
    publication: Publication,
    publisher: Session | null,
    closes: boolean,
    work: () => void,
  ): Promise<void> | undefined
  retain(message: Message): void
  sendLocally(wide: WideMessage): void
  sendTo(wide: WideMessage, place: number): void
  sendToGroup(wide: WideMessage, group: SharedGroup<Session>): void
}

export interface WideFanoutParts {
  readonly turn: Turn
  readonly router: Router<Session>
  readonly journal: CommitJournal
  readonly steps: FanoutSteps
}

/**
 * Messages to so many receivers that others have their turn in between. One is under way at a time, the others wait in their order. First
 * every receiver is told its place; from then on whatever else is to reach a receiver brings the message to it before.
 */
export class WideFanout {
  /** The one under way. */
  private active: WideMessage | null = null
  private waiting: WideMessage[] = []
  private isScheduled = false
  private isStopped = false
  private readonly parts: WideFanoutParts

  constructor(parts: WideFanoutParts) {
    this.parts = parts
  }

  /** Whether one is under way. */
  get isBusy(): boolean {
    return this.active !== null
  }

  /** Whether a message to `topic`, or one from `publisher` where its client is not kept waiting, must come behind one that waits. */
  isAwaited(topic: string, publisher?: Session | null): boolean {
    const { active } = this
    if (active !== null && !active.isMarked && isBefore(active, topic, publisher)) return true
    return this.waiting.length > 0 && this.waiting.some((wide) => isBefore(wide, topic, publisher))
  }

  /** Answers at once if one slice was enough. */
  publish(request: WideRequest): WideMessage {
    const wide = new WideMessage(request)
    if (this.isStopped) wide.fail(new Error('the broker has stopped'))
    else if (request.isAtOnce && this.active === null && this.waiting.length === 0 && !this.parts.steps.isWithin()) {
      this.begin(wide)
      this.goOn()
      // the walk that it has interrupted is over, and what it has written so far waits for the rest
      if (this.active !== null) this.parts.turn.slice.effort.units = LOOK
    } else this.waiting.push(wide)
    this.schedule()
    return wide
  }

  /** A step is about to send to the receivers of a route: those get what they are still to get first. */
  precede(publication: Publication, route: Route<Session>): void {
    const wide = this.active
    if (wide === null || !wide.isMarked) return
    const { acknowledged, atMostOnce, groups, special } = route
    for (const session of atMostOnce) if (session.fanoutPlace !== 0) this.catchUp(publication, session)
    for (const session of acknowledged) if (session.fanoutPlace !== 0) this.catchUp(publication, session)
    for (const { subscriber } of special) if (subscriber.fanoutPlace !== 0) this.catchUp(publication, subscriber)
    if (wide.groups.size === 0) return
    for (const group of groups) {
      if (!wide.groups.delete(group)) continue
      this.parts.steps.sendToGroup(wide, group)
      this.join(wide, publication)
    }
  }

  /** In the midst of a step: a receiver gets the message that is under way. */
  catchUp(publication: Publication, session: Session): void {
    const wide = this.active
    if (wide === null) return
    this.send(wide, session.fanoutPlace - 1)
    this.join(wide, publication)
  }

  /** What is sent within another step is kept with it, and goes on with it. */
  private join(wide: WideMessage, publication: Publication): void {
    const own = wide.publication
    if (own === publication) return
    wide.isTouched = true
    publication.awaiting.push(...own.awaiting.splice(0))
    own.leaveTo(publication)
  }

  /** That step is committed. */
  follow(committed: Promise<void> | undefined): void {
    const wide = this.active
    if (wide === null || !wide.isTouched) return
    wide.isTouched = false
    if (committed !== undefined) wide.commits.push(committed)
  }

  /** A session is about to change: what came before that reaches it now. */
  settle(session: Session): void {
    const wide = this.active
    if (wide === null) return
    const place = wide.placeOf(session)
    if (place >= 0) this.within(wide, () => this.send(wide, place))
  }

  /** A session is about to end: nothing is to reach it. */
  forget(session: Session): void {
    const wide = this.active
    const place = wide === null ? -1 : wide.placeOf(session)
    if (place >= 0) wide!.take(place)
  }

  /** Settles once all that there are now are with their receivers. */
  async done(): Promise<void> {
    const last = this.waiting[this.waiting.length - 1] ?? this.active
    await last?.outcome.catch(() => undefined)
  }

  /** The broker has stopped: what is left is left undone. */
  stop(): void {
    this.isStopped = true
    const left = this.active === null ? this.waiting : [this.active, ...this.waiting]
    this.active = null
    this.waiting = []
    for (const wide of left) wide.fail(new Error('the broker has stopped'))
  }

  private schedule(): void {
    if (this.isScheduled || this.isStopped || (this.active === null && this.waiting.length === 0)) return
    const { journal, turn } = this.parts
    this.isScheduled = true
    // what a slow store owes would fill the memory
    const open = journal.isBehind ? journal.openCommits() : undefined
    if (open === undefined) turn.rota.add(this)
    else open.then(() => turn.rota.add(this))
  }

  takeTurn(): void {
    const { turn } = this.parts
    this.isScheduled = false
    if (this.isStopped) return
    const { marked } = turn
    if (this.active === null && this.waiting.length > 0) this.begin(this.waiting.shift()!)
    this.goOn()
    // its receivers get what comes next in the same write
    turn.hold(marked)
    this.schedule()
  }

  private begin(wide: WideMessage): void {
    const { router, steps } = this.parts
    const { isWanted, keep, message } = wide.request
    if (!isWanted()) {
      wide.finish(false)
      return
    }
    this.active = wide
    this.guard(wide, () => {
      wide.begin(router.route(message.topicBytes, 0, message.topicEnd))
      this.within(wide, () => {
        if (message.qos === 2) keep()
        if (message.retain) steps.retain(message)
        if (message.qos === 2) this.sendToKept(wide)
      })
      steps.sendLocally(wide)
    })
  }

  /** What must be kept with the identifier of its publisher is kept in one commit with it: a crash must not leave half of it. */
  private sendToKept(wide: WideMessage): void {
    for (let place = 0; place < wide.count; place++) if (wide.session(place).journal !== null) this.send(wide, place)
    for (const group of wide.groups) this.sendToGroup(wide, group)
  }

  private goOn(): void {
    const wide = this.active
    if (wide === null) return
    this.guard(wide, () => {
      let isDone = false
      this.within(wide, () => {
        isDone = this.markAll(wide) && this.sendToAll(wide)
        if (isDone && wide.request.message.qos < 2) wide.request.keep()
      })
      if (isDone) this.end(wide)
    })
  }

  private end(wide: WideMessage): void {
    this.active = null
    if (wide.isTouched) wide.commits.push(this.parts.journal.openCommits() ?? Promise.resolve())
    wide.finish(true)
  }

  /** One that cannot go on must not keep the others waiting. */
  private guard(wide: WideMessage, work: () => void): void {
    try {
      work()
    } catch (error) {
      this.active = null
      wide.fail(error)
    }
  }

  private within(wide: WideMessage, work: () => void): void {
    const { closes, isAnswered, publisher } = wide.request
    const committed = this.parts.steps.within(wide.publication, isAnswered ? publisher : null, closes, work)
    if (committed === undefined) return
    wide.commits.push(committed)
    committed.catch(() => undefined)
  }

  /** True once all are told. */
  private markAll(wide: WideMessage): boolean {
    const { slice } = this.parts.turn
    while (!wide.isMarked) {
      wide.mark(MARKS)
      if (slice.isOverAfter(MARKS_EFFORT)) return false
    }
    return true
  }

  /** True once all have it. */
  private sendToAll(wide: WideMessage): boolean {
    const { slice } = this.parts.turn
    for (const group of wide.groups) {
      this.sendToGroup(wide, group)
      if (slice.isOverAfter(GROUP)) return false
    }
    const { count } = wide
    const acknowledgedFrom = wide.receivers.atMostOnce.length
    while (wide.sent < count) {
      const place = wide.sent++
      if (wide.hasIt(place)) continue
      const isJournaled = wide.session(place).journal !== null
      this.send(wide, place)
      if (slice.isOverAfter(isJournaled ? JOURNALED : place < acknowledgedFrom ? AT_MOST_ONCE : ACKNOWLEDGED))
        return wide.sent === count
    }
    return true
  }

  private send(wide: WideMessage, place: number): void {
    wide.take(place)
    this.parts.steps.sendTo(wide, place)
  }

  private sendToGroup(wide: WideMessage, group: SharedGroup<Session>): void {
    wide.groups.delete(group)
    this.parts.steps.sendToGroup(wide, group)
  }
}

/** A publisher is given where its client is not kept waiting. */
function isBefore({ request }: WideMessage, topic: string, publisher: Session | null | undefined): boolean {
  return request.message.topic === topic || (publisher !== undefined && request.publisher === publisher)
}
