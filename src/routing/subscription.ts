import type { QoS } from '../protocol/packet'

/** The options of a Subscription (section 3.8.3.1; MQTT 5.0 3.8.3.1). */
export interface SubscriptionOptions {
  readonly qos: QoS
  readonly noLocal: boolean
  readonly retainAsPublished: boolean
  readonly retainHandling: 0 | 1 | 2
  /** 0 if none. */
  readonly subscriptionIdentifier: number
}

/** The Topic Filter of a subscription, without `$share/NAME/`. */
export interface SubscribedFilter {
  readonly filter: string
  readonly hasWildcard: boolean
}

/** The shared group of a subscription. */
export interface SubscribedGroup<S> {
  readonly shareName: string
  readonly members: readonly Subscription<S>[]
  remove(subscription: Subscription<S>): void
  wake(subscription: Subscription<S>): void
}

/** One Topic Filter of one subscriber. */
export class Subscription<S> implements SubscriptionOptions {
  readonly subscriber: S
  /** As subscribed to, `$share/NAME/` included. */
  readonly filter: string
  readonly node: SubscribedFilter
  readonly group: SubscribedGroup<S> | null
  qos: QoS
  noLocal: boolean
  retainAsPublished: boolean
  retainHandling: 0 | 1 | 2
  subscriptionIdentifier: number
  /** Its place among its node's or group's members, kept by them. */
  index = 0

  constructor(
    subscriber: S,
    filter: string,
    node: SubscribedFilter,
    group: SubscribedGroup<S> | null,
    options: SubscriptionOptions,
  ) {
    this.subscriber = subscriber
    this.filter = filter
    this.node = node
    this.group = group
    this.qos = options.qos
    this.noLocal = options.noLocal
    this.retainAsPublished = options.retainAsPublished
    this.retainHandling = options.retainHandling
    this.subscriptionIdentifier = options.subscriptionIdentifier
  }

  replace(options: SubscriptionOptions): void {
    this.qos = options.qos
    this.noLocal = options.noLocal
    this.retainAsPublished = options.retainAsPublished
    this.retainHandling = options.retainHandling
    this.subscriptionIdentifier = options.subscriptionIdentifier
  }

  /** True when a QoS 0 packet may go to this subscriber just as it came. */
  get plain(): boolean {
    return !this.noLocal && !this.retainAsPublished && this.subscriptionIdentifier === 0
  }
}

export function hasSameOptions(a: SubscriptionOptions, b: SubscriptionOptions): boolean {
  return (
    a.qos === b.qos &&
    a.noLocal === b.noLocal &&
    a.retainAsPublished === b.retainAsPublished &&
    a.retainHandling === b.retainHandling &&
    a.subscriptionIdentifier === b.subscriptionIdentifier
  )
}

/** Puts a subscription at the end of `members`; returns them. */
export function withMember<S>(members: Subscription<S>[], subscription: Subscription<S>): Subscription<S>[] {
  subscription.index = members.length
  // most filters have one subscriber, and a list that grows takes room for sixteen more
  if (members.length === 0) return [subscription]
  members.push(subscription)
  return members
}

/** Takes a subscription out of `members` in constant time; the last one takes its place. */
export function removeMember<S>(members: Subscription<S>[], subscription: Subscription<S>): void {
  const last = members.pop()!
  if (last === subscription) return
  members[subscription.index] = last
  last.index = subscription.index
}
