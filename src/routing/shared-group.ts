import type { QoS } from '../protocol/packet'
import type { FilterNode } from './filter-node'
import { removeMember, type Subscription, withMember } from './subscription'

/** Which member of a shared group gets a message: each in turn, the same as long as it can, or the least busy. */
export type SharedStrategy = 'round-robin' | 'sticky' | 'least-inflight'

/** What a group wants to know of its members. */
export interface MemberView<S> {
  /** It can be sent to at once. */
  able(subscriber: S): boolean
  /** It takes a message on that comes with its granted QoS at the most, to be sent later. */
  willing(subscriber: S, granted: QoS): boolean
  /** Messages that it has not acknowledged. */
  inflight(subscriber: S): number
}

/** The members of one Shared Subscription (MQTT 5.0 section 4.8.2): each message goes to one of them. */
export class SharedGroup<S> {
  readonly shareName: string
  readonly node: FilterNode<S>
  members: Subscription<S>[] = []
  private next = 0

  constructor(shareName: string, node: FilterNode<S>) {
    this.shareName = shareName
    this.node = node
  }

  /** `$share/NAME/filter`. */
  get filter(): string {
    return `$share/${this.shareName}/${this.node.filter}`
  }

  add(subscription: Subscription<S>): void {
    this.members = withMember(this.members, subscription)
  }

  remove(subscription: Subscription<S>): void {
    removeMember(this.members, subscription)
  }

  /** The member for the next message: one that is able, failing that one that is willing; never `except`. */
  choose(strategy: SharedStrategy, view: MemberView<S>, except: S | null): Subscription<S> | undefined {
    const able = ({ subscriber }: Subscription<S>): boolean => subscriber !== except && view.able(subscriber)
    const willing = ({ subscriber, qos }: Subscription<S>): boolean =>
      subscriber !== except && view.willing(subscriber, qos)
    if (strategy === 'least-inflight') return this.leastBusy(able, view) ?? this.inTurn(willing, false)
    const sticky = strategy === 'sticky'
    return this.inTurn(able, sticky) ?? this.inTurn(willing, sticky)
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

  private leastBusy(able: (member: Subscription<S>) => boolean, view: MemberView<S>): Subscription<S> | undefined {
    let best: Subscription<S> | undefined
    for (const member of this.members) {
      if (!able(member)) continue
      if (best === undefined || view.inflight(member.subscriber) < view.inflight(best.subscriber)) best = member
    }
    return best
  }
}
