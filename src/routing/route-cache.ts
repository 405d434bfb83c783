import { bytesCost, Cost, textCost } from '../memory/cost'
import { Budget } from '../memory/memory-budget'
import { Route, type SpecialReceiver, STALE } from './route'
import { pathCost, TopicTree } from './topic-tree'

/** How far from its home a route may lie. */
const PROBES = 8
/** Longer topics are routed anew each time: a full cache of the longest would take gigabytes. */
const LONGEST_TOPIC = 512
/** Bits that remember topics seen once, by their hashes. */
const SEEN_BITS = 1 << 20
/** Topics after which all of them are forgotten: until then one in sixteen is taken for another at the most. */
const SEEN_TOPICS = SEEN_BITS >> 4
/** Nodes that a walk looks at before it asks whether to go on. */
const STRIDE = 64
/** Nodes after which a walk is given up in any case. */
const LONG_WALK = 1024

/**
 * Routes by the bytes of their topics, so that a known topic costs neither a string nor a match. Open addressing;
 * where a neighbourhood is full, one of its routes makes place. The hash is seeded, so that no client can choose topics that collide. A topic
 * gets its place when it comes for the second time, so that topics that never repeat push no other topic out.
 */
export class RouteCache<S> {
  private readonly mask: number
  private readonly table: (Route<S> | null)[]
  private readonly byTopic = new TopicTree<Route<S>>()
  private readonly seed: number
  private victim = 0
  /** Where the search for routes that give way goes on. */
  private hand = 0
  private readonly budget: Budget
  private readonly seenBits = new Int32Array(SEEN_BITS >> 5)
  private seenTopics = 0
  /** Grows when a change touches more routes than are worth looking for. */
  private epoch = STALE + 1
  /** Routes filled since the epoch began. */
  private filled = 0

  /** `capacity` is a power of two. */
  constructor(capacity: number, seed: number, budget = new Budget()) {
    this.budget = budget
    this.mask = capacity - 1
    this.table = new Array(capacity).fill(null)
    this.seed = seed | 0
  }

  hash(bytes: Uint8Array, start: number, end: number): number {
    let hash = this.seed
    for (let i = start; i < end; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193)
    return hash ^ (hash >>> 15)
  }

  find(bytes: Uint8Array, start: number, end: number, hash: number): Route<S> | null {
    const { table, mask } = this
    const length = end - start
    for (let probe = 0; probe < PROBES; probe++) {
      const route = table[(hash + probe) & mask]!
      if (route === null || route.hash !== hash) continue
      const { topicBytes } = route
      if (topicBytes.length !== length) continue
      let i = 0
      while (i < length && topicBytes[i] === bytes[start + i]) i++
      if (i === length) return route
    }
    return null
  }

  /** The same by the topic's text. */
  private findText(topic: string): Route<S> | null {
    const { table, mask } = this
    const hash = this.hashText(topic)
    for (let probe = 0; probe < PROBES; probe++) {
      const route = table[(hash + probe) & mask]!
      if (route !== null && route.hash === hash && route.topic === topic) return route
    }
    return null
  }

  private hashText(topic: string): number {
    let hash = this.seed
    for (let i = 0; i < topic.length; i++) {
      const unit = topic.charCodeAt(i)
      if (unit > 0x7f) {
        const bytes = Buffer.from(topic)
        return this.hash(bytes, 0, bytes.length)
      }
      hash = Math.imul(hash ^ unit, 0x01000193)
    }
    return hash ^ (hash >>> 15)
  }

  /** A route for a topic that `find` does not know. */
  add(topic: string, topicBytes: Uint8Array, hash: number): Route<S> {
    const route = new Route<S>(topic, topicBytes, hash)
    if (topicBytes.length > LONGEST_TOPIC) return route
    if (!this.seenBefore(hash)) return route
    const { table, mask } = this
    let at = -1
    for (let probe = 0; probe < PROBES && at < 0; probe++)
      if (table[(hash + probe) & mask] === null) at = (hash + probe) & mask
    if (at < 0) {
      at = (hash + (this.victim++ & (PROBES - 1))) & mask
      this.evict(at)
    }
    table[at] = route
    route.cached = true
    const nodes = this.byTopic.cost
    this.byTopic.set(topic, route)
    route.cost = routeCost(route)
    this.budget.add(this.byTopic.cost - nodes + route.cost)
    return route
  }

  private evict(at: number): void {
    const { byTopic, table } = this
    const route = table[at]!
    table[at] = null
    route.cached = false
    // what is out must not keep others that are
    route.next = null
    const nodes = byTopic.cost
    byTopic.delete(route.topic)
    this.budget.add(byTopic.cost - nodes - route.cost)
  }

  /** Routes give way until the memory is enough, of each few the one that costs most. */
  private trim(): void {
    const { budget, mask, table } = this
    while (budget.used > budget.maximum && this.byTopic.size > 0) {
      let at = -1
      let most = -1
      for (let seen = 0, looked = 0; seen < PROBES && looked <= mask; looked++) {
        this.hand = (this.hand + 1) & mask
        const route = table[this.hand]!
        if (route === null) continue
        seen++
        const cost = route.cost + pathCost(route.topic)
        if (cost <= most) continue
        most = cost
        at = this.hand
      }
      this.evict(at)
    }
  }

  /** Whether the topic was looked for before, or one that looks like it. */
  private seenBefore(hash: number): boolean {
    const { seenBits } = this
    const word = (hash >>> 5) & ((SEEN_BITS >> 5) - 1)
    const bit = 1 << (hash & 31)
    if ((seenBits[word]! & bit) !== 0) return true
    if (++this.seenTopics > SEEN_TOPICS) {
      seenBits.fill(0)
      this.seenTopics = 1
    }
    seenBits[word]! |= bit
    return false
  }

  /** Whether a change has touched the route since it was filled. */
  isStale(route: Route<S>): boolean {
    return route.epoch !== this.epoch
  }

  fresh(route: Route<S>): void {
    route.epoch = this.epoch
    this.filled++
    if (!route.cached) return
    const cost = routeCost(route)
    this.budget.add(cost - route.cost)
    route.cost = cost
    if (this.budget.used > this.budget.maximum) this.trim()
  }

  /**
   * Marks the routes that a change to `filter` can touch and no others; all of them where to fill them anew costs less than
   * to look for those.
   */
  invalidate(filter: string, hasWildcard: boolean): void {
    if (hasWildcard) {
      let looked = 0
      for (const route of this.byTopic.walk(filter, '', STRIDE)) {
        if (route !== null) {
          route.epoch = STALE
          continue
        }
        looked += STRIDE
        if (looked >= LONG_WALK || looked >= this.filled) {
          this.epoch++
          this.filled = 0
          return
        }
      }
    } else {
      const route = this.findText(filter)
      if (route !== null) route.epoch = STALE
    }
  }
}

function routeCost<S>({ acknowledged, atMostOnce, groups, locals, special, topic, topicBytes }: Route<S>): number {
  const receivers = atMostOnce.length + 2 * acknowledged.length + groups.length + locals.length + special.length
  let cost = Cost.route + textCost(topic) + bytesCost(topicBytes.length) + receivers * Cost.receiver
  for (const receiver of special) cost += specialCost(receiver)
  return cost
}

function specialCost<S>({ own, subscriptionIdentifiers }: SpecialReceiver<S>): number {
  const cost = Cost.specialReceiver + subscriptionIdentifiers.length * Cost.receiver
  return own === null ? cost : cost + specialCost(own)
}
