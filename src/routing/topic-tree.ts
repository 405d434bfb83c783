interface TopicNode<V> {
  readonly level: string
  readonly parent: TopicNode<V> | null
  children: Map<string, TopicNode<V>> | null
  value: V | undefined
}

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

  /** Every value whose topic matches the filter (section 4.7), in no particular order. Stands changes between two steps. */
  *matching(filter: string): IterableIterator<V> {
    const levels = filter.split('/')
    const stack: { node: TopicNode<V>; depth: number }[] = [{ node: this.root, depth: 0 }]
    for (let top = stack.pop(); top !== undefined; top = stack.pop()) {
      const { node, depth } = top
      if (depth === levels.length) {
        if (node.value !== undefined) yield node.value
        continue
      }
      const level = levels[depth]!
      if (level === '#') {
        // `a/#` matches `a` itself [MQTT-4.7.1-2]
        if (node.value !== undefined) yield node.value
        yield* this.below(node)
      } else if (level === '+') {
        if (node.children === null) continue
        for (const child of node.children.values()) {
          if (depth === 0 && child.level.startsWith('$')) continue
          stack.push({ node: child, depth: depth + 1 })
        }
      } else {
        const child = node.children?.get(level)
        if (child !== undefined) stack.push({ node: child, depth: depth + 1 })
      }
    }
  }

  private *below(from: TopicNode<V>): IterableIterator<V> {
    const iterators = [from.children?.values()]
    while (iterators.length > 0) {
      const next = iterators[iterators.length - 1]?.next()
      if (next === undefined || next.done === true) {
        iterators.pop()
        continue
      }
      const node = next.value
      if (node.parent === this.root && node.level.startsWith('$')) continue
      if (node.value !== undefined) yield node.value
      if (node.children !== null) iterators.push(node.children.values())
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
