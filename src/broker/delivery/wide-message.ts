import type { Message } from '../../protocol/message'
import { Dialect } from '../../protocol/output'
import type { LocalSubscription } from '../../routing/filter-node'
import type { Route, SpecialReceiver } from '../../routing/route'
import type { SharedGroup } from '../../routing/shared-group'
import type { Session } from '../../session/session'
import { Publication } from './publication'

/** A message that is to be sent in slices. */
export interface WideRequest {
  readonly message: Message
  /** null for the application. */
  readonly publisher: Session | null
  /** Whether the publisher gets an acknowledgement, and whether its connection closes where the message is refused. */
  readonly isAnswered: boolean
  readonly closes: boolean
  /** Whether the first slice may be now; otherwise it has its turn later. */
  readonly isAtOnce: boolean
  /** Whether it is to be sent still, asked when its turn has come. */
  readonly isWanted: () => boolean
  /** Changes what the publisher has of it, in the commit that keeps the last of it; with QoS 2 in the one that keeps all. */
  readonly keep: () => void
}

/** What became of it. */
export interface WideOutcome {
  /** False if it was not wanted any more when its turn came. */
  readonly isPublished: boolean
  /** Nothing is subscribed to its topic. */
  readonly isEmpty: boolean
  /** It was lost to all that should have kept it, for want of room. */
  readonly foundNoRoom: boolean
  /** The commit of all of it, if any. */
  readonly committed: Promise<void> | undefined
}

/** The receivers as they were when its turn came: what is subscribed later is not for this message. */
export type Receivers = Pick<Route<Session>, 'atMostOnce' | 'acknowledged' | 'grants' | 'special'>

/** One message to more receivers than one slice is enough for, and how far it has come. */
export class WideMessage {
  readonly request: WideRequest
  readonly publication = new Publication()
  receivers: Receivers = { atMostOnce: [], acknowledged: [], grants: [], special: [] }
  /** Shared groups that are still to get it. */
  groups = new Set<SharedGroup<Session>>()
  locals: readonly LocalSubscription[] = []
  count = 0
  /** How many receivers know of it, and how many of them it has come past. */
  marked = 0
  sent = 0
  /** By the receiver's place: 1 for those that have it. */
  private has = new Uint8Array(0)
  /** Commits that have something of it. */
  readonly commits: Promise<void>[] = []
  /** True while a step of something else has sent some of it, and has not committed that yet. */
  isTouched = false
  private isEmpty = false
  /** null until it is with every receiver. */
  result: WideOutcome | null = null
  readonly outcome: Promise<WideOutcome>
  private resolve!: (outcome: WideOutcome) => void
  private reject!: (error: unknown) => void

  constructor(request: WideRequest) {
    this.request = request
    this.outcome = new Promise((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
    })
    this.outcome.catch(() => undefined)
  }

  /** Its turn has come. */
  begin(route: Route<Session>): void {
    const { atMostOnce, acknowledged, grants, groups, locals, special } = route
    this.receivers = { atMostOnce, acknowledged, grants, special }
    this.groups = new Set(groups)
    this.locals = locals
    this.count = atMostOnce.length + acknowledged.length + special.length
    this.has = new Uint8Array(this.count)
    this.isEmpty = this.count + groups.length + locals.length === 0
    const { message, publisher } = this.request
    this.publication.begin(route, null, message, publisher, Dialect.V3)
  }

  /** True once every receiver knows that it is to come. */
  get isMarked(): boolean {
    return this.marked === this.count
  }

  /** The receiver at a place. */
  session(place: number): Session {
    const { acknowledged, atMostOnce, special } = this.receivers
    if (place < atMostOnce.length) return atMostOnce[place]!
    const behind = place - atMostOnce.length
    return behind < acknowledged.length ? acknowledged[behind]! : special[behind - acknowledged.length]!.subscriber
  }

  hasIt(place: number): boolean {
    return this.has[place] === 1
  }

  /** Lets each of the next receivers know that it is still to come. */
  mark(many: number): void {
    const end = Math.min(this.count, this.marked + many)
    for (; this.marked < end; this.marked++)
      if (this.has[this.marked] === 0) this.session(this.marked).fanoutPlace = this.marked + 1
  }

  /** The receiver at a place gets it now, or is not to have it. */
  take(place: number): Session {
    const session = this.session(place)
    this.has[place] = 1
    session.fanoutPlace = 0
    return session
  }

  /** The place of a receiver that is still to get it; -1 if it is none. */
  placeOf(session: Session): number {
    if (session.fanoutPlace > 0) return session.fanoutPlace - 1
    return this.isMarked ? -1 : this.unmarkedPlaceOf(session)
  }

  private unmarkedPlaceOf(session: Session): number {
    const { acknowledged, atMostOnce, special } = this.receivers
    let place = atMostOnce.indexOf(session)
    if (place < 0) {
      const at = acknowledged.indexOf(session)
      if (at >= 0) place = atMostOnce.length + at
    }
    if (place < 0) {
      const at = special.findIndex(({ subscriber }: SpecialReceiver<Session>) => subscriber === session)
      if (at >= 0) place = atMostOnce.length + acknowledged.length + at
    }
    return place >= 0 && this.has[place] === 0 ? place : -1
  }

  finish(isPublished: boolean): void {
    const { full, taken } = this.publication
    const { commits } = this
    const committed = commits.length === 0 ? undefined : Promise.all(commits).then(() => undefined)
    committed?.catch(() => undefined)
    this.publication.end()
    this.result = { isPublished, isEmpty: this.isEmpty, foundNoRoom: full > 0 && taken === 0, committed }
    this.resolve(this.result)
  }

  /** Nothing more comes of it: no receiver waits for it. */
  fail(error: unknown): void {
    for (let place = 0; place < this.marked; place++) if (this.has[place] === 0) this.take(place)
    this.publication.end()
    this.reject(error)
  }
}
