import { removeMember, type Subscription, withMember } from './subscription'

/** Which member of a shared group gets a message: each in turn, the same as long as it can, or the least busy. */
export type SharedStrategy = 'round-robin' | 'sticky' | 'least-inflight'

/** What a group asks about its members for one message. */
export interface MemberView<S> {
  /** It can be sent the message at once. */
  readonly able: (member: Subscription<S>) => boolean
  /** It takes the message on, to be sent later. */
  readonly willing: (member: Subscription<S>) => boolean
  /** It has no connection: until `wake` it is not looked at as one that could be sent to. */
  readonly absent: (subscriber: S) => boolean
  /** Messages that it has not acknowledged. */
  readonly inflight: (subscriber: S) => number
}

/** Members that are looked at for one message, of each kind. The next message begins behind them. */
const LOOKS = 1024

/** The members of one Shared Subscription (MQTT 5.0 section 4.8.2): each message goes to one of them. */
export class SharedGroup<S> {
  readonly shareName: string
  /** `$share/NAME/FILTER`. */
  readonly filter: string
  /** Those that may have a connection come first, so that absent ones cost a message nothing while there are others. */
  members: Subscription<S>[] = []
  /** How many may have a connection. */
  private awake = 0
  private next = 0
  private nextAsleep = 0
  /** The member that was chosen last, if it is one still. */
  last: Subscription<S> | null = null

  /** `topicFilter` is the filter without `$share/NAME/`. */
  constructor(shareName: string, topicFilter: string) {
    this.shareName = shareName
    this.filter = `$share/${shareName}/${topicFilter}`
  }

  add(subscription: Subscription<S>): void {
    this.members = withMember(this.members, subscription)
    this.wake(subscription)
  }

  remove(subscription: Subscription<S>): void {
    if (subscription.index < this.awake) this.sleep(subscription)
    if (this.last === subscription) this.last = null
    removeMember(this.members, subscription)
  }

  /** The member has a connection again. */
  wake(subscription: Subscription<S>): void {
    if (subscription.index >= this.awake) this.swap(subscription.index, this.awake++)
  }

  private sleep(subscription: Subscription<S>): void {
    this.swap(subscription.index, --this.awake)
  }

  private swap(a: number, b: number): void {
    const { members } = this
    const one = members[a]!
    const other = members[b]!
    members[a] = other
    members[b] = one
    other.index = a
    one.index = b
  }

  /** The member for the next message: one that is able, failing that one that is willing. */
  choose(strategy: SharedStrategy, view: MemberView<S>): Subscription<S> | undefined {
    const sticky = strategy === 'sticky'
    const able = strategy === 'least-inflight' ? this.leastBusy(view) : this.inTurn(view.able, view, sticky)
    const chosen = able ?? this.inTurn(view.willing, view, sticky) ?? this.asleepInTurn(view.willing, sticky)
    if (chosen !== undefined) this.last = chosen
    return chosen
  }

  private inTurn(
    suits: (member: Subscription<S>) => boolean,
    { absent }: MemberView<S>,
    stay: boolean,
  ): Subscription<S> | undefined {
    const { members } = this
    for (let n = Math.min(this.awake, LOOKS); n > 0; n--) {
      if (this.next >= this.awake) this.next = 0
      const member = members[this.next]!
      const suitable = suits(member)
      if (!suitable && absent(member.subscriber)) {
        // another one has its place now
        this.sleep(member)
        continue
      }
      if (!suitable || !stay) this.next++
      if (suitable) return member
    }
    return undefined
  }

  private asleepInTurn(suits: (member: Subscription<S>) => boolean, stay: boolean): Subscription<S> | undefined {
    const { awake, members } = this
    for (let n = Math.min(members.length - awake, LOOKS); n > 0; n--) {
      if (this.nextAsleep < awake || this.nextAsleep >= members.length) this.nextAsleep = awake
      const member = members[this.nextAsleep]!
      const suitable = suits(member)
      if (!suitable || !stay) this.nextAsleep++
      if (suitable) return member
    }
    return undefined
  }

  /** The least busy of those that are looked at: all, unless there are a great many. */
  private leastBusy({ able, inflight }: MemberView<S>): Subscription<S> | undefined {
    const { awake, members } = this
    let best: Subscription<S> | undefined
    for (let n = Math.min(awake, LOOKS), at = awake > LOOKS ? this.next : 0; n > 0; n--, at++) {
      const member = members[at % awake]!
      if (!able(member)) continue
      if (best === undefined || inflight(member.subscriber) < inflight(best.subscriber)) best = member
    }
    if (awake > LOOKS) this.next = (this.next + LOOKS) % awake
    return best
  }
}
