import { Cost, textCost } from '../memory/cost'
import { CountedTrie } from './counted-trie'
import { FilterNode } from './filter-node'
import { PatternCounts, wildcardPattern } from './wildcard-patterns'

/**
 * Every Topic Filter with a subscriber. Filters with a wildcard lie in a trie (qlobber); a filter without one
 * matches the one Topic Name that it spells, so a look at a map finds it, and it costs the trie nothing.
 */
export class FilterTrie<S> {
  private readonly byFilter = new Map<string, FilterNode<S>>()
  private readonly wildcards: CountedTrie<FilterNode<S>>
  private nodesCost = 0
  /** Of the filters in the trie. */
  readonly patterns = new PatternCounts()

  /** `maximumLevels` bounds filters and topics. */
  constructor(maximumLevels: number) {
    this.wildcards = new CountedTrie({
      separator: '/',
      wildcard_one: '+',
      wildcard_some: '#',
      match_empty_levels: true,
      max_words: maximumLevels,
    })
  }

  get size(): number {
    return this.byFilter.size
  }

  /** Bytes that filters take up, without their subscribers. */
  get cost(): number {
    return this.nodesCost + this.wildcards.cost
  }

  get(filter: string): FilterNode<S> | undefined {
    return this.byFilter.get(filter)
  }

  /** The node of a filter, made if there is none: then it keeps `filter`. `text` is what that costs as a text. */
  node(filter: string, text = textCost(filter)): FilterNode<S> {
    let node = this.byFilter.get(filter)
    if (node === undefined) {
      node = new FilterNode<S>(filter)
      this.byFilter.set(node.filter, node)
      this.nodesCost += Cost.filterNode + text
      if (node.hasWildcard) {
        this.wildcards.add(filter, node)
        this.patterns.add(wildcardPattern(filter))
      }
    }
    return node
  }

  /** `text` is what the filter costs as a text. */
  remove(node: FilterNode<S>, text = textCost(node.filter)): void {
    this.byFilter.delete(node.filter)
    this.nodesCost -= Cost.filterNode + text
    if (!node.hasWildcard) return
    this.wildcards.remove(node.filter, node)
    this.patterns.remove(wildcardPattern(node.filter))
  }

  /** The filters that match a Topic Name (section 4.7), in no particular order. */
  match(topic: string): readonly FilterNode<S>[] {
    let nodes: readonly FilterNode<S>[] = this.patterns.size === 0 ? [] : this.wildcards.match(topic)
    // [MQTT-4.7.2-1]
    if (topic.startsWith('$') && nodes.length > 0) nodes = nodes.filter((node) => !node.startsWithWildcard)
    const same = this.byFilter.get(topic)
    if (same === undefined) return nodes
    // a list of their own: what the trie answers may be what it keeps
    return nodes.length === 0 ? [same] : [same, ...nodes]
  }
}
