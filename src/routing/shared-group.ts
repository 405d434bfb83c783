import type { FilterNode } from './filter-node'
import { addMember, removeMember, type Subscription } from './subscription'

/** The members of one Shared Subscription (MQTT 5.0 section 4.8.2): each message goes to one of them. */
export class SharedGroup<S> {
  readonly shareName: string
  readonly node: FilterNode<S>
  readonly members: Subscription<S>[] = []
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
    addMember(this.members, subscription)
  }

  remove(subscription: Subscription<S>): void {
    removeMember(this.members, subscription)
  }

  /** The next member in turn for which `able` holds; failing that, the next in turn for which `willing` holds. */
  choose(able: (subscriber: S) => boolean, willing: (subscriber: S) => boolean): Subscription<S> | undefined {
    return this.inTurn(able) ?? this.inTurn(willing)
  }

  private inTurn(suits: (subscriber: S) => boolean): Subscription<S> | undefined {
    const { members } = this
    for (let n = members.length; n > 0; n--) {
      if (this.next >= members.length) this.next = 0
      const member = members[this.next++]!
      if (suits(member.subscriber)) return member
    }
    return undefined
  }
}
