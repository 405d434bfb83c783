import { Cost, textCost } from '../memory/cost'
import { ownText } from '../memory/own'
import { SortedLevels } from './sorted-levels'

interface TopicNode<V> {
  readonly level: string
  readonly parent: TopicNode<V> | null
  children: Map<string, TopicNode<V>> | null
  value: V | undefined
}

/** Nodes that a walk looks at between two pauses. */
const PAUSE = 512

/** Values by Topic Name, found again by Topic Filter: the mirror image of the trie of filters. */
export class TopicTree<V> {
  size = 0
  /** Bytes that the nodes take up, without the values. */
  cost = 0
  private readonly root: TopicNode<V> = { level: '', parent: null, children: null, value: undefined }
  private readonly sorted: boolean

  /** Where it is `sorted`, a walk has an order and can be gone on with from any topic. It costs time for each new topic. */
  constructor(sorted = false) {
    this.sorted = sorted
  }

  get(topic: string): V | undefined {
    return this.find(topic)?.value
  }

  /** Returns the value that was there. */
  set(topic: string, value: V): V | undefined {
    let node = this.root
    for (const level of topic.split('/')) {
      node = node.children?.get(level) ?? this.addChild(node, level)
    }
    const before = node.value
    if (before === undefined) this.size++
    node.value = value
    return before
  }

  /** Returns the value that was there. */
  delete(topic: string): V | undefined {
    let node = this.find(topic)
    const before = node?.value
    if (node === undefined || before === undefined) return undefined
    node.value = undefined
    this.size--
    while (node.parent !== null && node.value === undefined && (node.children === null || node.children.size === 0)) {
      const { children } = node.parent
      this.cost -= nodeCost(node)
      if (children instanceof SortedLevels) children.remove(node)
      else children!.delete(node.level)
      node = node.parent
    }
    return before
  }

  private addChild(parent: TopicNode<V>, level: string): TopicNode<V> {
    // a topic that has gone must not be kept alive by a level of it
    const child = { level: ownText(level), parent, children: null, value: undefined }
    this.cost += nodeCost(child)
    if (parent.children === null && parent !== this.root) this.cost += Cost.topicBranch
    if (this.sorted) {
      const children = (parent.children ??= new SortedLevels<TopicNode<V>>())
      ;(children as SortedLevels<TopicNode<V>>).add(child)
    } else (parent.children ??= new Map<string, TopicNode<V>>()).set(level, child)
    return child
  }

  /** Every value whose topic matches the filter (section 4.7), in no particular order. */
  *matching(filter: string): IterableIterator<V> {
    for (const value of this.walk(filter)) if (value !== null) yield value
  }

  /**
   * The same in short steps: a null says that `pause` nodes were looked at, so that the caller can yield.
   * Stands changes between two steps. In a sorted tree a topic comes before those below it, levels come in their order,
   * and `after` leaves out all topics up to this one, whether it is there or not.
   */
  *walk(filter: string, after = '', pause: number = PAUSE): IterableIterator<V | null> {
    const levels = filter.split('/')
    const path = after === '' ? noLevels : after.split('/')
    const open: Iterator<TopicNode<V>>[] = [[this.root].values()]
    /** How many levels of `path` the node above has, and it has no others; -1 once it is behind `after`. */
    let along = 0
    for (let looked = 1; open.length > 0; looked++) {
      const depth = open.length - 1
      const next = open[depth]!.next()
      if (next.done === true) {
        open.pop()
        continue
      }
      if (looked % pause === 0) yield null
      const node = next.value
      const isAlong = depth === 0 ? path.length > 0 : along === depth - 1 && node.level === path[depth - 1]
      along = isAlong ? depth : Math.min(along, depth - 1)
      // topics that begin with $ are hidden from a wildcard in the first level [MQTT-4.7.2-1]
      if (depth === 1 && isWildcard(levels[0]!) && node.level.startsWith('$')) continue
      const level = depth < levels.length ? levels[depth]! : levels[levels.length - 1]!
      // `a/#` matches `a` itself [MQTT-4.7.1-2]
      if (!isAlong && (depth === levels.length || level === '#') && node.value !== undefined) yield node.value
      if (depth === levels.length && level !== '#') continue
      const below = childrenAt(node, level, isAlong && depth < path.length ? path[depth]! : '')
      if (below !== undefined) open.push(below)
    }
  }

  private find(topic: string): TopicNode<V> | undefined {
    let node: TopicNode<V> | undefined = this.root
    for (const level of topic.split('/')) {
      node = node.children?.get(level)
      if (node === undefined) return undefined
    }
    return node
  }
}

function nodeCost<V>({ level, children }: TopicNode<V>): number {
  return Cost.topicNode + textCost(level) + (children === null ? 0 : Cost.topicBranch)
}

/** What the nodes of a topic cost that shares none with another. */
export function pathCost(topic: string): number {
  let levels = 1
  for (let at = topic.indexOf('/'); at >= 0; at = topic.indexOf('/', at + 1)) levels++
  return levels * (Cost.topicNode + Cost.topicBranch + Cost.text) + textCost(topic)
}

function isWildcard(level: string): boolean {
  return level === '+' || level === '#'
}

/** Those that match a level of a filter, from the level `from` on where they are sorted. */
function childrenAt<V>(node: TopicNode<V>, level: string, from: string): Iterator<TopicNode<V>> | undefined {
  const { children } = node
  if (children === null) return undefined
  if (isWildcard(level)) return children instanceof SortedLevels ? children.from(from) : children.values()
  const child = children.get(level)
  return child === undefined || level < from ? undefined : [child].values()
}

const noLevels: readonly string[] = []
