/** Up to so many are sorted when they are asked for; more are kept in order. */
const SMALL = 64
/** Of those that are kept in order, so many lie in one list at the most: what is put in or taken out moves the others. */
const CHUNK = 1024

interface Levelled {
  readonly level: string
}

/** The children of a node by their level, which can be gone through in order, from any level on. */
export class SortedLevels<V extends Levelled> extends Map<string, V> {
  /** All of them in order, in lists that are never empty; null while there are few. */
  private chunks: V[][] | null = null
  private version = 0

  /** There must be none of this level. */
  add(child: V): void {
    this.set(child.level, child)
    if (this.chunks !== null) this.insert(this.chunks, child)
    else if (this.size > SMALL) this.chunks = [[...this.values()].sort(byLevel)]
  }

  remove(child: V): void {
    this.delete(child.level)
    const { chunks } = this
    if (chunks === null) return
    this.version++
    const at = chunkOf(chunks, child.level)
    const chunk = chunks[at]!
    if (chunk.length > 1) chunk.splice(place(chunk, child.level), 1)
    else if (chunks.length > 1) chunks.splice(at, 1)
    else this.chunks = null
  }

  /** In the order of their levels, all from this level on. Stands changes between two steps. */
  from(level: string): Iterator<V> {
    if (this.chunks !== null) return this.inOrder(level)
    // most topics have nodes with one child
    if (this.size === 1 && level === '') return this.values()
    return [...this.values()]
      .filter((child) => child.level >= level)
      .sort(byLevel)
      .values()
  }

  private *inOrder(from: string): Generator<V> {
    let version = -1
    let last: V | null = null
    let at = 0
    let index = 0
    for (let { chunks } = this; chunks !== null; chunks = this.chunks) {
      if (version === this.version) index++
      else {
        const level: string = last === null ? from : last.level
        version = this.version
        at = chunkOf(chunks, level)
        index = place(chunks[at]!, level)
        if (last !== null && chunks[at]![index]?.level === level) index++
      }
      if (index >= chunks[at]!.length) {
        index = 0
        if (++at >= chunks.length) return
      }
      last = chunks[at]![index]!
      yield last
    }
  }

  private insert(chunks: V[][], child: V): void {
    this.version++
    const at = chunkOf(chunks, child.level)
    const chunk = chunks[at]!
    chunk.splice(place(chunk, child.level), 0, child)
    if (chunk.length <= CHUNK) return
    // mostly they come in order: then the list that is full stays so
    const half = chunk[chunk.length - 1] === child ? CHUNK : CHUNK >> 1
    chunks.splice(at + 1, 0, chunk.splice(half))
  }
}

function byLevel(a: Levelled, b: Levelled): number {
  return a.level < b.level ? -1 : a.level > b.level ? 1 : 0
}

/** The list in which a level lies or would lie. */
function chunkOf(chunks: readonly (readonly Levelled[])[], level: string): number {
  let low = 0
  let high = chunks.length - 1
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if (chunks[middle]![0]!.level <= level) low = middle
    else high = middle - 1
  }
  return low
}

/** Where a level lies or would lie in a list. */
function place(chunk: readonly Levelled[], level: string): number {
  let low = 0
  let high = chunk.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (chunk[middle]!.level < level) low = middle + 1
    else high = middle
  }
  return low
}
