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
  private readonly root: TopicNode<V> = { level: '', parent: null, children: null, value: undefined }

  get(topic: string): V | undefined {
    return this.find(topic)?.value
  }

  /** Returns the value that was there. */
  set(topic: string, value: V): V | undefined {
    let node = this.root
    for (const level of topic.split('/')) {
      node.children ??= new Map()
      let child = node.children.get(level)
      if (child === undefined) {
        child = { level, parent: node, children: null, value: undefined }
        node.children.set(level, child)
      }
      node = child
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
      node.parent.children!.delete(node.level)
      node = node.parent
    }
    return before
  }

  /** Every value whose topic matches the filter (section 4.7), in no particular order. */
  *matching(filter: string): IterableIterator<V> {
    for (const value of this.walk(filter)) if (value !== null) yield value
  }

  /**
   * The same in bearable steps: a null says that `pause` nodes were looked at and that others may have their turn.
   * Stands changes between two steps.
   */
  *walk(filter: string, pause: number = PAUSE): IterableIterator<V | null> {
    const levels = filter.split('/')
    const open: Iterator<TopicNode<V>>[] = [[this.root].values()]
    for (let looked = 1; open.length > 0; looked++) {
      const depth = open.length - 1
      const next = open[depth]!.next()
      if (next.done === true) {
        open.pop()
        continue
      }
      if (looked % pause === 0) yield null
      const node = next.value
      // topics that begin with $ are hidden from a wildcard in the first level [MQTT-4.7.2-1]
      if (depth === 1 && isWildcard(levels[0]!) && node.level.startsWith('$')) continue
      const level = depth < levels.length ? levels[depth]! : levels[levels.length - 1]!
      // `a/#` matches `a` itself [MQTT-4.7.1-2]
      if ((depth === levels.length || level === '#') && node.value !== undefined) yield node.value
      const below =
        level === '#' ? node.children?.values() : depth === levels.length ? undefined : childrenAt(node, level)
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

function isWildcard(level: string): boolean {
  return level === '+' || level === '#'
}

function childrenAt<V>(node: TopicNode<V>, level: string): Iterator<TopicNode<V>> | undefined {
  if (level === '+') return node.children?.values()
  const child = node.children?.get(level)
  return child === undefined ? undefined : [child].values()
}
