import { bytesCost, Cost } from '../memory/cost'
import type { Budget } from '../memory/memory-budget'

/** Bytes that the aliases of one client may take up whatever all others have. */
const SMALL = 4096

/** Topics by the Topic Aliases that one client gave them (MQTT 5.0 section 3.3.2.3.4). */
export class IncomingAliases {
  private readonly topics: Uint8Array[] = []
  private cost = 0
  private readonly budget: Budget

  constructor(budget: Budget) {
    this.budget = budget
  }

  get(alias: number): Uint8Array | undefined {
    return this.topics[alias]
  }

  /** False if the memory does not allow for it. `topic` is kept. */
  set(alias: number, topic: Uint8Array): boolean {
    const former = this.topics[alias]
    // the route's own bytes, where its topic comes again
    if (former === topic) return true
    const more = bytesCost(topic.length) + (former === undefined ? Cost.alias : -bytesCost(former.length))
    if (more > 0 && this.cost + more > SMALL && !this.budget.admits(more, this.cost)) return false
    this.cost += more
    this.budget.add(more)
    this.topics[alias] = topic
    return true
  }

  /** The connection is over: they are used no more. */
  release(): void {
    this.budget.add(-this.cost)
    this.cost = 0
    this.topics.length = 0
  }
}
