import { Cost, textCost } from '../memory/cost'
import { Budget } from '../memory/memory-budget'
import { ownText } from '../memory/own'
import { trieCost } from './counted-trie'
import type { FilterNode, LocalSubscription } from './filter-node'
import { FilterTrie } from './filter-trie'
import type { Route } from './route'
import { RouteCache } from './route-cache'
import { SharedGroup } from './shared-group'
import { removeMember, Subscription, type SubscriptionOptions, withMember } from './subscription'

/** Refuses a topic that no route may be made for: throws. */
export type TopicCheck = (bytes: Uint8Array, start: number, end: number) => void

/** `$share/NAME/filter`, taken apart. */
export interface SharedParts {
  readonly shareName: string
  readonly filter: string
}

/** What of the memory a router may use. */
export interface RoutingMemory {
  readonly subscriptions: Budget
  readonly routes: Budget
}

/** The subscriptions of one subscriber by their filters, and what they count for in its share. */
class OwnSubscriptions<S> extends Map<string, Subscription<S>> {
  cost = 0
}

/**
 * Finds the receivers of a message. Subscriptions lie in a trie of Topic Filters, one node a filter; what it answers for a
 * Topic Name is kept as a route until a subscription changes that the route depends on.
 */
export class Router<S> {
  private readonly trie: FilterTrie<S>
  private readonly subscribers = new Map<S, OwnSubscriptions<S>>()
  private readonly budget: Budget
  private readonly cache: RouteCache<S>
  private readonly check: TopicCheck
  subscriptionCount = 0
  /** Told when a Topic Filter gets its first subscriber, of whatever kind, and when it loses its last. */
  onInterest: ((filter: string, isWanted: boolean) => void) | null = null

  /** `cacheCapacity` is a power of two; `maximumLevels` bounds filters and topics; `seed` is any random integer. */
  constructor(
    cacheCapacity: number,
    maximumLevels: number,
    seed: number,
    check: TopicCheck,
    { subscriptions, routes }: RoutingMemory = { subscriptions: new Budget(), routes: new Budget() },
  ) {
    this.budget = subscriptions
    this.cache = new RouteCache(cacheCapacity, seed, routes)
    this.check = check
    this.trie = new FilterTrie(maximumLevels)
  }

  /** The route of the topic that stands at `bytes[start, end)`. Throws what `check` throws for a topic seen for the first time. */
  route(bytes: Uint8Array, start: number, end: number): Route<S> {
    const hash = this.cache.hash(bytes, start, end)
    const route = this.cache.find(bytes, start, end, hash) ?? this.miss(bytes, start, end, hash)
    if (this.cache.isStale(route)) this.fill(route)
    return route
  }

  /** The same for a publisher whose `last` route is known: that one is likely to come again, or the one that came after it. */
  routeAfter(last: Route<S> | null, bytes: Uint8Array, start: number, end: number): Route<S> {
    if (last === null) return this.route(bytes, start, end)
    let route: Route<S> | null = last
    if (!isRouteOf(route, bytes, start, end)) {
      route = last.next
      if (route === null || !isRouteOf(route, bytes, start, end)) {
        route = this.route(bytes, start, end)
        if (last.cached && route.cached) last.next = route
        return route
      }
    }
    if (this.cache.isStale(route)) this.fill(route)
    return route
  }

  /** Whether the memory allows for one more subscription. `parts` are those of a shared filter. */
  admits(subscriber: S, filter: string, parts: SharedParts | undefined): boolean {
    const own = this.subscribers.get(subscriber)
    return own?.has(filter) === true || this.budget.admits(fullCost(filter, parts), own?.cost ?? 0)
  }

  /** Adds or replaces; true if the filter is new for this subscriber. `parts` are those of a shared filter. */
  subscribe(subscriber: S, filter: string, parts: SharedParts | undefined, options: SubscriptionOptions): boolean {
    let own = this.subscribers.get(subscriber)
    const existing = own?.get(filter)
    if (existing !== undefined) {
      existing.replace(options)
      this.cache.invalidate(existing.node.filter, existing.node.hasWildcard)
      return false
    }
    const { budget, trie } = this
    const nodes = trie.cost
    const node = trie.node(parts === undefined ? filter : parts.filter)
    budget.add(trie.cost - nodes + subscriptionCost(filter))
    if (this.onInterest !== null && node.empty) this.onInterest(node.filter, true)
    const group = parts === undefined ? null : this.groupOf(node, parts.shareName)
    const subscription = new Subscription(subscriber, filter, node, group, options)
    if (group === null) node.members = withMember(node.members, subscription)
    else group.add(subscription)
    if (own === undefined) this.subscribers.set(subscriber, (own = new OwnSubscriptions()))
    own.set(filter, subscription)
    own.cost += fullCost(filter, parts)
    this.subscriptionCount++
    this.cache.invalidate(node.filter, node.hasWildcard)
    return true
  }

  /** False if there was no such subscription. */
  unsubscribe(subscriber: S, filter: string): boolean {
    const own = this.subscribers.get(subscriber)
    const subscription = own?.get(filter)
    if (own === undefined || subscription === undefined) return false
    own.delete(filter)
    own.cost -= fullCost(filter, partsOf(subscription))
    if (own.size === 0) this.subscribers.delete(subscriber)
    this.drop(subscription)
    return true
  }

  /** Removes all subscriptions of a subscriber. */
  removeAll(subscriber: S): void {
    const own = this.subscribers.get(subscriber)
    if (own === undefined) return
    this.subscribers.delete(subscriber)
    for (const subscription of own.values()) this.drop(subscription)
  }

  subscriptionsOf(subscriber: S): Iterable<Subscription<S>> {
    return this.subscribers.get(subscriber)?.values() ?? []
  }

  countOf(subscriber: S): number {
    return this.subscribers.get(subscriber)?.size ?? 0
  }

  subscription(subscriber: S, filter: string): Subscription<S> | undefined {
    return this.subscribers.get(subscriber)?.get(filter)
  }

  subscribeLocal(local: LocalSubscription): void {
    const nodes = this.trie.cost
    const node = this.trie.node(local.filter)
    this.budget.add(this.trie.cost - nodes)
    if (this.onInterest !== null && node.empty) this.onInterest(node.filter, true)
    node.locals = [...(node.locals ?? []), local]
    this.cache.invalidate(node.filter, node.hasWildcard)
  }

  unsubscribeLocal(local: LocalSubscription): void {
    const node = this.trie.get(local.filter)
    if (node === undefined || node.locals === null) return
    node.locals = node.locals.filter((other) => other !== local)
    this.afterRemoval(node)
  }

  /** The members that a shared group has now; undefined once the last one has gone. */
  group(filter: string, shareName: string): SharedGroup<S> | undefined {
    return this.trie.get(filter)?.groups?.get(shareName)
  }

  private groupOf(node: FilterNode<S>, shareName: string): SharedGroup<S> {
    node.groups ??= new Map()
    let group = node.groups.get(shareName)
    if (group !== undefined) return group
    // a part of the filter as it was subscribed to, which it would keep alive
    group = new SharedGroup<S>(ownText(shareName), node.filter)
    node.groups.set(group.shareName, group)
    this.budget.add(groupCost(node, shareName))
    return group
  }

  private drop(subscription: Subscription<S>): void {
    const { group } = subscription
    const node = this.trie.get(subscription.node.filter)!
    this.budget.add(-subscriptionCost(subscription.filter))
    if (group === null) removeMember(node.members, subscription)
    else {
      group.remove(subscription)
      if (group.members.length === 0) {
        node.groups!.delete(group.shareName)
        this.budget.add(-groupCost(node, group.shareName))
      }
    }
    this.subscriptionCount--
    this.afterRemoval(node)
  }

  private afterRemoval(node: FilterNode<S>): void {
    if (node.empty) {
      const nodes = this.trie.cost
      this.trie.remove(node)
      this.budget.add(this.trie.cost - nodes)
      this.onInterest?.(node.filter, false)
    }
    this.cache.invalidate(node.filter, node.hasWildcard)
  }

  private miss(bytes: Uint8Array, start: number, end: number, hash: number): Route<S> {
    this.check(bytes, start, end)
    const topic = (Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes)).toString('utf8', start, end)
    // not from Buffer's pool: the engine keeps a few bytes beside their array, where they are read with it
    const topicBytes = new Uint8Array(end - start)
    for (let i = start; i < end; i++) topicBytes[i - start] = bytes[i]!
    return this.cache.add(topic, topicBytes, hash)
  }

  private fill(route: Route<S>): void {
    route.fill(this.trie.match(route.topic))
    this.cache.fresh(route)
  }
}

/** Whether the route of the topic at `bytes[start, end)` is this one, and still told of changes. */
function isRouteOf<S>(route: Route<S>, bytes: Uint8Array, start: number, end: number): boolean {
  const topic = route.topicBytes
  if (!route.cached) return false
  const length = end - start
  if (topic.length !== length) return false
  // topics of one client mostly differ near their end
  for (let i = length - 1; i >= 0; i--) if (topic[i] !== bytes[start + i]) return false
  return true
}

/** What a subscription counts for in all, besides what it shares with others. */
function subscriptionCost(filter: string): number {
  return Cost.subscription + textCost(filter)
}

function groupCost<S>({ filter }: FilterNode<S>, shareName: string): number {
  return Cost.sharedGroup + textCost(filter) + 2 * textCost(shareName)
}

/** What a subscription counts for in the share of its subscriber: as if nobody else had its filter. */
function fullCost(filter: string, parts: SharedParts | undefined): number {
  const topicFilter = parts === undefined ? filter : parts.filter
  const own = subscriptionCost(filter) + Cost.filterNode + textCost(topicFilter)
  const trie = topicFilter.includes('+') || topicFilter.includes('#') ? trieCost(topicFilter) : 0
  return own + trie + (parts === undefined ? 0 : Cost.sharedGroup + 2 * textCost(filter))
}

function partsOf<S>({ group, node }: Subscription<S>): SharedParts | undefined {
  return group === null ? undefined : { shareName: group.shareName, filter: node.filter }
}
