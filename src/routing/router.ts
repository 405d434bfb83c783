import { Cost, textCost } from '../memory/cost'
import { Budget } from '../memory/memory-budget'
import { ownText } from '../memory/own'
import { trieCost } from './counted-trie'
import { Effort } from './effort'
import type { FilterNode, LocalSubscription } from './filter-node'
import { FilterTrie } from './filter-trie'
import type { Route } from './route'
import { RouteCache } from './route-cache'
import { SharedGroup } from './shared-group'
import { removeMember, Subscription, type SubscriptionOptions, withMember } from './subscription'
import { ownPattern, PatternCounts, patternOf, type WildcardPattern } from './wildcard-patterns'

/** What one subscriber may have, and all together: see `wildcardPattern`. */
export interface PatternLimits {
  readonly maximumWildcardPatterns: number
  readonly maximumTotalWildcardPatterns: number
}

/** Patterns that a subscriber may have of its own when all together have as many as they may. */
const OWN_PATTERNS = 8
/** Units of effort of a match, besides those for what it finds. */
const MISS = 8

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
  /** How many of them are of shared groups. */
  shared = 0
}

/**
 * Finds the receivers of a message. Subscriptions lie in a trie of Topic Filters, one node a filter; what it answers for a
 * Topic Name is kept as a route until a subscription changes that the route depends on.
 */
export class Router<S> {
  private readonly trie: FilterTrie<S>
  private readonly subscribers = new Map<S, OwnSubscriptions<S>>()
  private readonly budget: Budget
  /** Of those with so many subscriptions that they may have too many patterns. */
  private readonly patterns = new Map<S, PatternCounts>()
  private readonly cache: RouteCache<S>
  private readonly check: TopicCheck
  private readonly effort: Effort
  subscriptionCount = 0
  /** Those of them that are shared. */
  sharedCount = 0
  /** Subscriptions that were refused for want of room. */
  refusedCount = 0
  /** Told when a Topic Filter gets its first subscriber, of whatever kind, and when it loses its last. */
  onInterest: ((filter: string, isWanted: boolean) => void) | null = null

  /**
   * `cacheCapacity` is a power of two; `maximumLevels` bounds filters and topics; `seed` is any random integer. What is matched is counted as
   * `effort`.
   */
  constructor(
    cacheCapacity: number,
    maximumLevels: number,
    seed: number,
    check: TopicCheck,
    { subscriptions, routes }: RoutingMemory = { subscriptions: new Budget(), routes: new Budget() },
    effort: Effort = new Effort(),
  ) {
    this.budget = subscriptions
    this.effort = effort
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

  /**
   * Whether a subscriber may have one more filter: of its `maximum`, by the memory, and by how many filters a message may match.
   * `parts` are those of a shared filter.
   */
  admits(
    subscriber: S,
    filter: string,
    parts: SharedParts | undefined,
    maximum: number,
    limits: PatternLimits,
  ): boolean {
    const own = this.subscribers.get(subscriber)
    if (own !== undefined && own.size >= maximum) return false
    const held = own === undefined ? 0 : own.cost
    // to reckon exactly, each character is looked at
    if (!this.budget.admits(largestCost(filter), held) && !this.budget.admits(fullCost(filter, parts), held))
      return false
    return this.allowsPattern(subscriber, filter, parts, own, limits)
  }

  /** Adds or replaces. `parts` are those of a shared filter. */
  subscribe(
    subscriber: S,
    filter: string,
    parts: SharedParts | undefined,
    options: SubscriptionOptions,
  ): Subscription<S> {
    let own = this.subscribers.get(subscriber)
    const existing = own?.get(filter)
    if (existing !== undefined) {
      existing.replace(options)
      this.cache.invalidate(existing.node.filter, existing.node.hasWildcard)
      return existing
    }
    const { budget, trie } = this
    const nodes = trie.cost
    const text = textCost(filter)
    // as a part of the shared filter it would keep the Share Name alive
    const node = parts === undefined ? trie.node(filter, text) : trie.node(ownText(parts.filter))
    budget.add(trie.cost - nodes + Cost.subscription + text)
    if (this.onInterest !== null && node.empty) this.onInterest(node.filter, true)
    const group = parts === undefined ? null : this.groupOf(node, parts.shareName)
    const subscription = new Subscription(subscriber, filter, node, group, options)
    if (group === null) node.members = withMember(node.members, subscription)
    else group.add(subscription)
    if (own === undefined) this.subscribers.set(subscriber, (own = new OwnSubscriptions()))
    own.set(filter, subscription)
    own.cost += fullCost(filter, parts, text)
    if (group !== null) {
      own.shared++
      this.sharedCount++
    }
    if (this.patterns.size > 0) this.countPattern(subscription, 1)
    this.subscriptionCount++
    this.cache.invalidate(node.filter, node.hasWildcard)
    return subscription
  }

  /** Whether a message could match no more filters than it may, of the subscriber and of all, if it had this one too. */
  private allowsPattern(
    subscriber: S,
    filter: string,
    parts: SharedParts | undefined,
    own: OwnSubscriptions<S> | undefined,
    limits: PatternLimits,
  ): boolean {
    const topicFilter = parts === undefined ? filter : parts.filter
    const pattern = ownPattern(topicFilter, parts?.shareName)
    if (pattern === undefined || own === undefined) return true
    if (own.size >= limits.maximumWildcardPatterns) {
      const patterns = this.patternsOf(subscriber, own)
      if (patterns.size >= limits.maximumWildcardPatterns && !patterns.has(pattern)) return false
    }
    const { patterns } = this.trie
    if (patterns.size < limits.maximumTotalWildcardPatterns) return true
    const common = ownPattern(topicFilter, undefined)
    if (common === undefined || patterns.has(common)) return true
    return own.size < OWN_PATTERNS || this.patternsOf(subscriber, own).size < OWN_PATTERNS
  }

  private patternsOf(subscriber: S, own: Map<string, Subscription<S>>): PatternCounts {
    let patterns = this.patterns.get(subscriber)
    if (patterns !== undefined) return patterns
    this.patterns.set(subscriber, (patterns = new PatternCounts()))
    for (const subscription of own.values()) this.countPattern(subscription, 1)
    return patterns
  }

  private countPattern(subscription: Subscription<S>, by: 1 | -1): void {
    const patterns = this.patterns.get(subscription.subscriber)
    const pattern: WildcardPattern | undefined = patterns && patternOf(subscription)
    if (patterns === undefined || pattern === undefined) return
    if (by === 1) patterns.add(pattern)
    else patterns.remove(pattern)
  }

  /** False if there was no such subscription. */
  unsubscribe(subscriber: S, filter: string): boolean {
    const own = this.subscribers.get(subscriber)
    const subscription = own?.get(filter)
    if (own === undefined || subscription === undefined) return false
    own.delete(filter)
    const text = textCost(filter)
    own.cost -= fullCost(filter, partsOf(subscription), text)
    if (subscription.group !== null) own.shared--
    if (this.patterns.size > 0) this.countPattern(subscription, -1)
    if (own.size === 0) this.forget(subscriber)
    this.drop(subscription, text)
    return true
  }

  /** Removes all subscriptions of a subscriber, or some until `isOver`; true once none is left. */
  removeAll(subscriber: S, isOver: () => boolean = never): boolean {
    const own = this.subscribers.get(subscriber)
    if (own === undefined) return true
    for (const [filter, subscription] of own) {
      own.delete(filter)
      this.drop(subscription, textCost(filter))
      if (isOver()) break
    }
    if (own.size > 0) return false
    this.forget(subscriber)
    return true
  }

  private forget(subscriber: S): void {
    this.subscribers.delete(subscriber)
    this.patterns.delete(subscriber)
  }

  /** The subscriber has a connection again: its shared groups send to it. */
  wake(subscriber: S): void {
    const own = this.subscribers.get(subscriber)
    // a client that comes again and again with a great many others must not have all of them looked at
    if (own === undefined || own.shared === 0) return
    for (const subscription of own.values()) subscription.group?.wake(subscription)
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
    this.afterRemoval(node, textCost(node.filter))
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

  /** `text` is what its filter costs as a text. */
  private drop(subscription: Subscription<S>, text: number): void {
    const { group } = subscription
    const node = this.trie.get(subscription.node.filter)!
    this.budget.add(-Cost.subscription - text)
    if (group === null) removeMember(node.members, subscription)
    else {
      group.remove(subscription)
      this.sharedCount--
      if (group.members.length === 0) {
        node.groups!.delete(group.shareName)
        this.budget.add(-groupCost(node, group.shareName))
      }
    }
    this.subscriptionCount--
    this.afterRemoval(node, group === null ? text : textCost(node.filter))
  }

  /** `text` is what the filter costs as a text. */
  private afterRemoval(node: FilterNode<S>, text: number): void {
    if (node.empty) {
      const nodes = this.trie.cost
      this.trie.remove(node, text)
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
    const nodes = this.trie.match(route.topic)
    route.fill(nodes)
    this.effort.units += MISS + nodes.length + route.effort
    this.cache.fresh(route)
  }
}

const never = (): boolean => false

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

function groupCost<S>({ filter }: FilterNode<S>, shareName: string): number {
  return Cost.sharedGroup + textCost(filter) + 2 * textCost(shareName)
}

/** Bytes of a subscription in the share of its subscriber, as if no other subscriber had its filter. */
function fullCost(filter: string, parts: SharedParts | undefined, text = textCost(filter)): number {
  const topicFilter = parts === undefined ? filter : parts.filter
  const own = Cost.subscription + text + Cost.filterNode + (parts === undefined ? text : textCost(topicFilter))
  const trie = topicFilter.includes('+') || topicFilter.includes('#') ? trieCost(topicFilter) : 0
  return own + trie + (parts === undefined ? 0 : Cost.sharedGroup + 2 * text)
}

/** No filter of so many characters costs more: two bytes for each, in five texts, and each of them a level. */
function largestCost({ length }: string): number {
  const text = Cost.text + 2 * length
  const levels = (length + 1) * (Cost.filterLevel + Cost.text)
  return Cost.subscription + Cost.filterNode + Cost.sharedGroup + levels + 5 * text
}

function partsOf<S>({ group, node }: Subscription<S>): SharedParts | undefined {
  return group === null ? undefined : { shareName: group.shareName, filter: node.filter }
}
