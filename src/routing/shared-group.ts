import { removeMember, type Subscription, withMember } from './subscription'

/** Which member of a shared group gets a message: each in turn, the same as long as it can, or the least busy. */
export type SharedStrategy = 'round-robin' | 'sticky' | 'least-inflight'

/** What a group asks about its members for one message. */
export interface MemberView<S> {
  /** It can be sent the message at once. */
  readonly able: (member: Subscription<S>) => boolean
  /** It takes the message on, to be sent later. */
  readonly willing: (member: Subscription<S>) => boolean
  /** Messages that it has not acknowledged. */
  readonly inflight: (subscriber: S) => number
}

/** The members of one Shared Subscription (MQTT 5.0 section 4.8.2): each message goes to one of them. */
export class SharedGroup<S> {
  readonly shareName: string
  /** `$share/NAME/FILTER`. */
  readonly filter: string
  members: Subscription<S>[] = []
  private next = 0

  /** `topicFilter` is the filter without `$share/NAME/`. */
  constructor(shareName: string, topicFilter: string) {
    this.shareName = shareName
    this.filter = `$share/${shareName}/${topicFilter}`
  }

  add(subscription: Subscription<S>): void {
    this.members = withMember(this.members, subscription)
  }

  remove(subscription: Subscription<S>): void {
    removeMember(this.members, subscription)
  }

  /** The member for the next message: one that is able, failing that one that is willing. */
  choose(strategy: SharedStrategy, view: MemberView<S>): Subscription<S> | undefined {
    if (strategy === 'least-inflight') return this.leastBusy(view) ?? this.inTurn(view.willing, false)
    const sticky = strategy === 'sticky'
    return this.inTurn(view.able, sticky) ?? this.inTurn(view.willing, sticky)
  }

  private inTurn(suits: (member: Subscription<S>) => boolean, stay: boolean): Subscription<S> | undefined {
    const { members } = this
    for (let n = members.length; n > 0; n--) {
      if (this.next >= members.length) this.next = 0
      const member = members[this.next]!
      const suitable = suits(member)
      if (!suitable || !stay) this.next++
      if (suitable) return member
    }
    return undefined
  }

  private leastBusy({ able, inflight }: MemberView<S>): Subscription<S> | undefined {
    let best: Subscription<S> | undefined
    for (const member of this.members) {
      if (!able(member)) continue
      if (best === undefined || inflight(member.subscriber) < inflight(best.subscriber)) best = member
    }
    return best
  }
}
