import { setImmediate as nextTurn } from 'node:timers/promises'
import type { QoS } from '../../protocol/packet'
import { FilterTrie } from '../../routing/filter-trie'
import type { Session } from '../../session/session'

/** The client may not have the message. */
export const DENIED = -1

/** Filters or topics that are looked at before others have their turn. */
const STEP = 50

/** What a filter grants now. */
interface Grant {
  readonly qos: QoS | typeof DENIED
  /** Whether it has granted more until now. */
  readonly isChanged: boolean
}

/** With what QoS a session may have messages that its filters, as they are granted now, have brought. */
export class Grants {
  private readonly byFilter = new Map<string, Grant>()
  private readonly shared = new Map<string, QoS | typeof DENIED>()
  private readonly trie: FilterTrie<Session>
  private known = new Map<string, QoS | typeof DENIED>()

  /** `maximumLevels` bounds filters and topics. */
  constructor(maximumLevels: number) {
    this.trie = new FilterTrie(maximumLevels)
  }

  /** A filter as it is granted now; those of shared groups stand for themselves. */
  add(filter: string, isShared: boolean, qos: QoS | typeof DENIED, isChanged: boolean): void {
    if (isShared) {
      if (isChanged) this.shared.set(filter, qos)
      return
    }
    this.byFilter.set(filter, { qos, isChanged })
    this.trie.node(filter)
  }

  /** Adds many, a few at a time. */
  async addAll(filters: Iterable<Parameters<Grants['add']>>): Promise<void> {
    let left = STEP
    for (const filter of filters) {
      this.add(...filter)
      if (--left > 0) continue
      left = STEP
      await nextTurn()
    }
  }

  /** Matches topics a few at a time, so that `highest` finds them known. What was known before is forgotten. */
  async learn(topics: Iterable<string>): Promise<void> {
    this.known = new Map()
    let left = STEP
    for (const topic of topics) {
      if (this.known.has(topic)) continue
      this.known.set(topic, this.match(topic))
      if (--left > 0) continue
      left = STEP
      await nextTurn()
    }
  }

  /** The highest QoS for a message on `topic` that came through `share`, the filter of a shared group, if it did; or DENIED. */
  highest(topic: string, share: string | undefined): QoS | typeof DENIED {
    if (share !== undefined) return this.shared.get(share) ?? 2
    return this.known.get(topic) ?? this.match(topic)
  }

  /** What no changed filter has brought stays as it is: its client may have unsubscribed from the one that did. */
  private match(topic: string): QoS | typeof DENIED {
    let isChanged = false
    let highest: QoS | typeof DENIED = DENIED
    for (const { filter } of this.trie.match(topic)) {
      const grant = this.byFilter.get(filter)!
      if (grant.isChanged) isChanged = true
      if (grant.qos > highest) highest = grant.qos
    }
    return isChanged ? highest : 2
  }
}
