import { Qlobber } from 'qlobber'
import { Cost, textCost } from '../memory/cost'
import { ownText } from '../memory/own'

type Level<T> = Map<string, Level<T> | T[]>

const VALUES = '/'

/** qlobber's trie, and what its levels cost. */
export class CountedTrie<T> extends Qlobber<T> {
  cost = 0

  protected override _add(value: T, _at: number, words: readonly string[], root: Level<T>): T[] {
    let level = root
    for (const word of words) {
      let below = level.get(word) as Level<T> | undefined
      if (below === undefined) {
        below = new Map()
        // a filter that has gone must not be kept alive by a level of it
        level.set(ownText(word), below)
        this.cost += levelCost(word)
      }
      level = below
    }
    const values = level.get(VALUES) as T[] | undefined
    if (values === undefined) {
      const only = [value]
      level.set(VALUES, only)
      return only
    }
    values.push(value)
    return values
  }

  protected override _remove(value: T, at: number, words: readonly string[], level: Level<T>): boolean {
    if (at === words.length) return this.removeValue(value, level)
    const word = words[at]!
    const below = level.get(word) as Level<T> | undefined
    if (below === undefined) return false
    const isLast = this._remove(value, at + 1, words, below)
    if (below.size === 0) {
      level.delete(word)
      this.cost -= levelCost(word)
    }
    return isLast
  }

  private removeValue(value: T, level: Level<T>): boolean {
    const values = level.get(VALUES) as T[] | undefined
    const at = values === undefined ? -1 : values.indexOf(value)
    if (values === undefined || at < 0) return false
    values.splice(at, 1)
    if (values.length > 0) return false
    level.delete(VALUES)
    return true
  }
}

function levelCost(word: string): number {
  return Cost.filterLevel + textCost(word)
}

/** What the levels of a filter cost that shares none with another. */
export function trieCost(filter: string): number {
  let levels = 1
  for (let at = filter.indexOf('/'); at >= 0; at = filter.indexOf('/', at + 1)) levels++
  return levels * (Cost.filterLevel + Cost.text) + textCost(filter)
}
