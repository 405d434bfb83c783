import type { SharedGroup } from './shared-group'
import type { Subscription } from './subscription'

/** All that is subscribed to one Topic Filter: one object per filter, however many subscribers it has. */
export class FilterNode<S> {
  /** Without `$share/NAME/`. */
  readonly filter: string
  readonly hasWildcard: boolean
  /** True when its first level is a wildcard, which `$` topics are hidden from [MQTT-4.7.2-1]. */
  readonly startsWithWildcard: boolean
  members: Subscription<S>[] = []
  /** Shared groups of this filter, by Share Name. */
  groups: Map<string, SharedGroup<S>> | null = null
  /** In-process subscribers of this filter. */
  locals: LocalSubscription[] | null = null

  constructor(filter: string) {
    this.filter = filter
    this.hasWildcard = filter.includes('+') || filter.includes('#')
    this.startsWithWildcard = filter.startsWith('+') || filter.startsWith('#')
  }

  get empty(): boolean {
    return this.members.length === 0 && (this.groups?.size ?? 0) === 0 && (this.locals?.length ?? 0) === 0
  }
}

/** A subscriber inside the application. What it does with a message is its own business. */
export interface LocalSubscription {
  readonly filter: string
}
