import type { StoredSubscription } from '../../ports/store'
import { parseSharedFilter } from '../../protocol/topic'
import type { Router } from '../../routing/router'
import { hasSameOptions } from '../../routing/subscription'
import type { Session } from '../../session/session'
import { type JournaledChange, Undoable } from './change'

export class SubscribeChange extends Undoable {
  readonly type = 'subscribe'
  readonly clientId: string
  readonly subscription: StoredSubscription
  readonly #session: Session
  readonly #router: Router<Session>
  readonly #former: StoredSubscription | undefined

  /** `former` is what the filter had until now, if anything. */
  constructor(
    session: Session,
    subscription: StoredSubscription,
    former: StoredSubscription | undefined,
    router: Router<Session>,
  ) {
    super()
    this.clientId = session.clientId
    this.subscription = subscription
    this.#session = session
    this.#former = former
    this.#router = router
  }

  undo(): boolean {
    const { filter } = this.subscription
    const session = this.#session
    const router = this.#router
    // something newer has come
    if (!this.isCurrent) return false
    const former = this.#former
    if (former === undefined) router.unsubscribe(session, filter)
    else router.subscribe(session, filter, parseSharedFilter(filter), former)
    return false
  }

  protected get isCurrent(): boolean {
    const current = this.#router.subscription(this.#session, this.subscription.filter)
    return !this.#session.ended && current !== undefined && hasSameOptions(current, this.subscription)
  }

  override inverse(): JournaledChange {
    const former = this.#former
    if (former === undefined) return new UnsubscribeChange(this.#session, this.subscription.filter, this.#router)
    return new ResubscribeChange(this.#session, former, former, this.#router)
  }
}

/** Brings the store back to what a session is subscribed to in memory. */
class ResubscribeChange extends SubscribeChange {
  override undo(): boolean {
    return this.isDue
  }

  override get isDue(): boolean {
    return this.isCurrent
  }
}

/** How far the retained messages of a subscription have come. Where it is refused they come again with their own commits. */
export class ReplayChange extends Undoable {
  readonly type = 'subscribe'
  readonly clientId: string
  readonly subscription: StoredSubscription

  constructor({ clientId }: Session, subscription: StoredSubscription) {
    super()
    this.clientId = clientId
    this.subscription = subscription
  }

  undo(): boolean {
    return false
  }
}

/** It is not undone: it is tried again until it is kept, or subscribed to anew. */
export class UnsubscribeChange extends Undoable {
  readonly type = 'unsubscribe'
  readonly clientId: string
  readonly filter: string
  readonly #session: Session
  readonly #router: Router<Session>

  constructor(session: Session, filter: string, router: Router<Session>) {
    super()
    this.clientId = session.clientId
    this.filter = filter
    this.#session = session
    this.#router = router
  }

  undo(): boolean {
    return this.isDue
  }

  override get isDue(): boolean {
    return !this.#session.ended && this.#router.subscription(this.#session, this.filter) === undefined
  }
}
