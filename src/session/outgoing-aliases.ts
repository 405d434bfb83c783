import { Cost, textCost } from '../memory/cost'
import { Budget } from '../memory/memory-budget'

/** Longer topics get no alias: they would take more memory than aliases are meant to save bytes. */
const LONGEST_TOPIC = 256

/**
 * Topic Aliases towards one client (MQTT 5.0 section 3.3.2.3.4): the topics used last keep theirs. While there are
 * aliases left, a topic gets one at once; then only a topic that comes again takes the one used longest ago, so that
 * topics that never repeat push no other topic out.
 */
export class OutgoingAliases {
  /** In order of use, the oldest first. 0 says: seen, without an alias; below 0: an alias that the client does not know. */
  private readonly aliases = new Map<string, number>()
  readonly maximum: number
  private readonly budget: Budget
  /** What of the budget they take up. */
  private cost = 0
  private used = 0

  /** `maximum` is the client's Topic Alias Maximum, or our own. */
  constructor(maximum: number, budget = new Budget()) {
    this.maximum = maximum
    this.budget = budget
  }

  /** The alias to send: negative when the name must go along to introduce it, 0 when there is none. */
  assign(topic: string): number {
    if (topic.length > LONGEST_TOPIC) return 0
    const alias = this.aliases.get(topic)
    if (alias === undefined) {
      if (!this.budget.admits(aliasCost(topic), this.cost)) return 0
      this.count(aliasCost(topic))
      if (this.used < this.maximum) {
        this.aliases.set(topic, ++this.used)
        return -this.used
      }
      this.remember(topic)
      return 0
    }
    this.aliases.delete(topic)
    const assigned = alias === 0 ? -this.takeOldest() : alias
    this.aliases.set(topic, Math.abs(assigned))
    return assigned
  }

  /** The topic that an alias stands for now. */
  topicOf(alias: number): string | undefined {
    for (const [topic, assigned] of this.aliases) if (Math.abs(assigned) === alias) return topic
    return undefined
  }

  /** The packet that was to introduce the topic's alias was not sent. */
  revoke(topic: string): void {
    const alias = this.aliases.get(topic)
    if (alias !== undefined && alias > 0) this.aliases.set(topic, -alias)
  }

  /** The connection is over: they are used no more. */
  release(): void {
    this.count(-this.cost)
  }

  /** Keeps as many topics without an alias as with one. */
  private remember(topic: string): void {
    this.aliases.set(topic, 0)
    if (this.aliases.size <= this.maximum * 2) return
    for (const [oldest, alias] of this.aliases) {
      if (alias !== 0) continue
      this.forget(oldest)
      return
    }
  }

  private takeOldest(): number {
    for (const [topic, alias] of this.aliases) {
      if (alias === 0) continue
      this.forget(topic)
      return Math.abs(alias)
    }
    return 0
  }

  private forget(topic: string): void {
    this.aliases.delete(topic)
    this.count(-aliasCost(topic))
  }

  private count(bytes: number): void {
    this.cost += bytes
    this.budget.add(bytes)
  }
}

function aliasCost(topic: string): number {
  return Cost.alias + textCost(topic)
}
