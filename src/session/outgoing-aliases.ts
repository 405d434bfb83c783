/**
 * Topic Aliases towards one client (MQTT 5.0 section 3.3.2.3.4): the topics used last keep theirs. While there are
 * aliases left, a topic gets one at once; then only a topic that comes again takes the one used longest ago, so that
 * topics that never repeat push no other topic out.
 */
export class OutgoingAliases {
  /** In order of use, the oldest first. 0 says: seen, without an alias; below 0: an alias that the client does not know. */
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

  /** The packet that was to introduce the topic's alias was not sent. */
  revoke(topic: string): void {
    const alias = this.aliases.get(topic)
    if (alias !== undefined && alias > 0) this.aliases.set(topic, -alias)
  }

  /** Keeps as many topics without an alias as with one. */
  private remember(topic: string): void {
    this.aliases.set(topic, 0)
    if (this.aliases.size <= this.maximum * 2) return
    for (const [oldest, alias] of this.aliases) {
      if (alias !== 0) continue
      this.aliases.delete(oldest)
      return
    }
  }

  private takeOldest(): number {
    for (const [topic, alias] of this.aliases) {
      if (alias === 0) continue
      this.aliases.delete(topic)
      return Math.abs(alias)
    }
    return 0
  }
}
