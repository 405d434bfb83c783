/**
 * Topic Aliases towards one client (MQTT 5.0 section 3.3.2.3.4): the topics used last keep their alias. A topic gets
 * one when it is sent for the second time, so that topics that never repeat cost nothing on the wire.
 */
export class OutgoingAliases {
  /** In order of use, the oldest first; an alias of 0 says: seen once. */
  private readonly aliases = new Map<string, number>()
  private readonly maximum: number
  private used = 0

  /** `maximum` is the client's Topic Alias Maximum. */
  constructor(maximum: number) {
    this.maximum = maximum
  }

  /** The alias to send: negative when the name must go along to introduce it, 0 when there is none. */
  assign(topic: string): number {
    const alias = this.aliases.get(topic)
    if (alias === undefined) {
      this.remember(topic, 0)
      return 0
    }
    this.aliases.delete(topic)
    if (alias > 0) {
      this.aliases.set(topic, alias)
      return alias
    }
    const fresh = this.used < this.maximum ? ++this.used : this.takeOldest()
    this.remember(topic, fresh)
    return -fresh
  }

  private remember(topic: string, alias: number): void {
    this.aliases.set(topic, alias)
    if (this.aliases.size <= this.maximum * 2) return
    for (const [oldest, value] of this.aliases) {
      if (value > 0) continue
      this.aliases.delete(oldest)
      return
    }
  }

  private takeOldest(): number {
    for (const [topic, alias] of this.aliases) {
      if (alias === 0) continue
      this.aliases.delete(topic)
      return alias
    }
    return 0
  }
}
