import type { Subscription } from './subscription'

/**
 * Which levels of a Topic Filter are wildcards: `a/+/b` and `c/+/d` have the same pattern. Two different filters of one pattern never match
 * the same Topic Name. So the patterns bound how many filters a message can match.
 */
export type WildcardPattern = number | string

/** Levels whose pattern fits into a number. */
const NUMBER_LEVELS = 48

const slash = 0x2f
const plus = 0x2b
const hash = 0x23

export function wildcardPattern(filter: string): WildcardPattern {
  let levels = 1
  // the bit in front tells how many levels there are
  let bits = 2
  let beginsLevel = true
  let isOpen = 0
  for (let i = 0; i < filter.length; i++) {
    const unit = filter.charCodeAt(i)
    if (unit === slash) {
      levels++
      bits *= 2
      beginsLevel = true
      continue
    }
    if (beginsLevel && unit === plus) bits++
    else if (beginsLevel && unit === hash) isOpen = 1
    beginsLevel = false
  }
  if (levels <= NUMBER_LEVELS) return bits * 2 + isOpen
  return filter.replaceAll(/[^+#/]+/g, '')
}

/** How often each pattern is there. */
export class PatternCounts {
  private readonly counts = new Map<WildcardPattern, number>()

  /** How many different ones there are. */
  get size(): number {
    return this.counts.size
  }

  has(pattern: WildcardPattern): boolean {
    return this.counts.has(pattern)
  }

  add(pattern: WildcardPattern): void {
    this.counts.set(pattern, (this.counts.get(pattern) ?? 0) + 1)
  }

  remove(pattern: WildcardPattern): void {
    const count = this.counts.get(pattern)
    if (count === undefined) return
    if (count === 1) this.counts.delete(pattern)
    else this.counts.set(pattern, count - 1)
  }
}

/**
 * What the pattern of a subscription counts as among those of its subscriber; undefined for a filter that can only match alone. Filters of
 * Shared Subscriptions are told apart by their Share Names as well: each of these gets its own copy of a message.
 */
export function ownPattern(filter: string, shareName: string | undefined): WildcardPattern | undefined {
  const hasWildcard = filter.includes('+') || filter.includes('#')
  if (shareName === undefined) return hasWildcard ? wildcardPattern(filter) : undefined
  return `${shareName}/${hasWildcard ? wildcardPattern(filter) : ''}`
}

export function patternOf<S>({ group, node }: Subscription<S>): WildcardPattern | undefined {
  return ownPattern(node.filter, group?.shareName)
}
