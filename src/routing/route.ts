import type { QoS } from '../protocol/packet'
import { isSystemTopic } from '../protocol/topic'
import type { FilterNode, LocalSubscription } from './filter-node'
import type { SharedGroup } from './shared-group'
import type { Subscription } from './subscription'

/** A receiver with subscription options beyond the QoS: an identifier, No Local, Retain As Published (MQTT 5.0). */
export interface SpecialReceiver<S> {
  readonly subscriber: S
  qos: QoS
  /** True when every subscription that matches has No Local. */
  noLocal: boolean
  retainAsPublished: boolean
  subscriptionIdentifiers: number[]
  /** What it gets of its own messages, when only some of the subscriptions that match have No Local; else null. */
  own: SpecialReceiver<S> | null
}

/** Units of effort of a PUBLISH, besides those of its receivers. */
const PACKET = 2
/** Up to this effort a message is not counted by itself: the bytes that are read bound how many come. */
const LIGHT = PACKET + 4

/** Effort from which on a message is sent in slices: 2,047 receivers of QoS 1 or 2, or twice as many of QoS 0. */
const WIDE = 4096

/** The epoch of a route that must be filled anew. */
export const STALE = 0

/** The list of a route that has no receivers of a kind. Never written to. */
const noReceivers: never[] = []

/**
 * The receivers of what is published to one Topic Name. Plain arrays, so that the hot path only walks them, and few of
 * them: what a message touches of a route is what it takes from the processor's cache.
 */
export class Route<S> {
  readonly hash: number
  readonly topicBytes: Uint8Array
  readonly topic: string
  /** The cache's epoch when it was filled; `STALE` once a subscription has changed that it depends on. */
  epoch = STALE
  /** True while the cache has it, and so tells it of changes. */
  cached = false
  /** Its bytes in the memory budget, set by the cache. */
  cost = 0
  /** The route that was wanted after this one: publishers tend to go round their topics in one order. */
  next: Route<S> | null = null
  /** Plain receivers granted QoS 0. */
  atMostOnce: S[] = noReceivers
  /** Plain receivers granted QoS 1 or 2, and what each was granted. */
  acknowledged: S[] = noReceivers
  grants: QoS[] = noReceivers
  special: SpecialReceiver<S>[] = noReceivers
  groups: SharedGroup<S>[] = noReceivers
  locals: LocalSubscription[] = noReceivers
  /** True for a topic of the broker's own: no client may publish to it. */
  readonly isSystem: boolean
  /** True when there is nothing besides the plain receivers, and they are not so many that others must have their turn in between. */
  simple = true
  /** True when there are so many receivers that a message to them is sent in slices. */
  isWide = false
  /** Units of effort of a message to all of them: what it takes to read it and to ask about it included. */
  effort = 0
  /** True where a message is checked for nothing and counted for nothing: a client's own topic with few receivers. */
  isLight: boolean

  constructor(topic: string, topicBytes: Uint8Array, hash: number) {
    this.hash = hash
    this.topicBytes = topicBytes
    this.topic = topic
    this.isSystem = isSystemTopic(topic)
    this.isLight = !this.isSystem
  }

  get stale(): boolean {
    return this.epoch === STALE
  }

  get empty(): boolean {
    return this.simple && this.atMostOnce.length === 0 && this.acknowledged.length === 0
  }

  /** Takes the receivers from the filters that match. A subscriber of several gets one copy with the highest QoS. */
  fill(nodes: readonly FilterNode<S>[]): void {
    this.atMostOnce = []
    this.acknowledged = []
    this.grants = []
    this.special = []
    this.groups = []
    this.locals = []
    if (nodes.length === 1) this.addAll(nodes[0]!)
    else if (nodes.length > 1) this.merge(nodes)
    const { acknowledged, atMostOnce, groups, special } = this
    this.effort = PACKET + atMostOnce.length + acknowledged.length * 2 + special.length * 4 + groups.length * 32
    this.isWide = this.effort >= WIDE
    this.simple = special.length === 0 && groups.length === 0 && this.locals.length === 0 && !this.isWide
    this.trim()
    this.isLight = !this.isSystem && this.effort <= LIGHT
  }

  /** A list that was pushed to has room to spare, and so has an empty one. */
  private trim(): void {
    this.atMostOnce = trimmed(this.atMostOnce)
    this.acknowledged = trimmed(this.acknowledged)
    this.grants = trimmed(this.grants)
    this.special = trimmed(this.special)
    this.groups = trimmed(this.groups)
    this.locals = trimmed(this.locals)
  }

  /** One filter: no subscriber is in it twice. */
  private addAll(node: FilterNode<S>): void {
    for (const member of node.members) this.add(member, null)
    this.addOthers(node)
  }

  private merge(nodes: readonly FilterNode<S>[]): void {
    const bySubscriber = new Map<S, Subscription<S>[]>()
    for (const node of nodes) {
      for (const member of node.members) {
        const others = bySubscriber.get(member.subscriber)
        if (others === undefined) bySubscriber.set(member.subscriber, [member])
        else others.push(member)
      }
      this.addOthers(node)
    }
    for (const members of bySubscriber.values()) this.add(members[0]!, members.length > 1 ? members : null)
  }

  private addOthers(node: FilterNode<S>): void {
    // one by one: a client can make more Share Names than a call takes arguments
    if (node.groups !== null) for (const group of node.groups.values()) this.groups.push(group)
    if (node.locals !== null) for (const local of node.locals) this.locals.push(local)
  }

  private add(first: Subscription<S>, all: Subscription<S>[] | null): void {
    const { subscriber } = first
    let { qos } = first
    let { plain } = first
    if (all !== null) {
      qos = highestQoS(all)
      for (const subscription of all) if (!subscription.plain) plain = false
    }
    if (!plain) this.special.push(specialReceiver(subscriber, qos, all ?? [first]))
    else if (qos === 0) this.atMostOnce.push(subscriber)
    else {
      this.acknowledged.push(subscriber)
      this.grants.push(qos)
    }
  }
}

const trimmed = <T>(list: T[]): T[] => (list.length === 0 ? noReceivers : list.slice())

function specialReceiver<S>(subscriber: S, qos: QoS, subscriptions: Subscription<S>[]): SpecialReceiver<S> {
  const echoed = subscriptions.filter((subscription) => !subscription.noLocal)
  const mixed = echoed.length > 0 && echoed.length < subscriptions.length
  return {
    subscriber,
    qos,
    noLocal: echoed.length === 0,
    retainAsPublished: subscriptions.some((subscription) => subscription.retainAsPublished),
    subscriptionIdentifiers: subscriptions
      .map((s) => s.subscriptionIdentifier)
      .filter((identifier) => identifier !== 0),
    own: mixed ? specialReceiver(subscriber, highestQoS(echoed), echoed) : null,
  }
}

function highestQoS<S>(subscriptions: readonly Subscription<S>[]): QoS {
  let highest: QoS = 0
  for (const { qos } of subscriptions) if (qos > highest) highest = qos
  return highest
}
