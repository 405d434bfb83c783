import { isReservedName } from '../protocol/topic'

/** Nothing is allowed. */
export const NOTHING = -1

/** One level of Topic Filters. */
class Level {
  children: Map<string, Level> | null = null
  /** The highest QoS of the rights that end here, for messages without RETAIN and for those with it; NOTHING if none does. */
  qos = NOTHING
  retained = NOTHING

  child(level: string): Level | undefined {
    return this.children === null ? undefined : this.children.get(level)
  }
}

/** Topic Filters by their levels, each with the highest QoS that it stands for. */
export class RightTree {
  private readonly root = new Level()
  /** Whether there is none. */
  isEmpty = true

  /** `retain` is undefined where the right is about messages with RETAIN and without. */
  add(filter: string, qos: number, retain: boolean | undefined): void {
    let level = this.root
    for (const name of levelsOf(filter)) {
      level.children ??= new Map()
      let child = level.children.get(name)
      if (child === undefined) level.children.set(name, (child = new Level()))
      level = child
    }
    if (retain !== true && level.qos < qos) level.qos = qos
    if (retain !== false && level.retained < qos) level.retained = qos
    this.isEmpty = false
  }

  /** The highest QoS of the filters that cover a Topic Filter, or match a Topic Name. */
  highest(filter: string, retain: boolean): number {
    return this.isEmpty ? NOTHING : highestFrom(this.root, levelsOf(filter), 0, retain)
  }

  /** Whether any topic matches both a filter of the tree and this one. */
  overlaps(filter: string): boolean {
    return !this.isEmpty && overlapsFrom(this.root, levelsOf(filter), 0)
  }
}

function highestFrom(level: Level, names: readonly string[], at: number, retain: boolean): number {
  const name = names[at]
  const hash = at === 0 && isReservedName(names[0]!) ? undefined : level.child('#')
  let highest = qosOf(hash, retain)
  if (name === undefined) return Math.max(highest, qosOf(level, retain))
  if (name === '#') return highest
  const own = level.child(name)
  if (own !== undefined) highest = Math.max(highest, highestFrom(own, names, at + 1, retain))
  // a wildcard does not match a name that begins with $ [MQTT-4.7.2-1]
  const any = name === '+' || (at === 0 && isReservedName(name)) ? undefined : level.child('+')
  return any === undefined ? highest : Math.max(highest, highestFrom(any, names, at + 1, retain))
}

function overlapsFrom(level: Level, names: readonly string[], at: number): boolean {
  const name = names[at]
  if (at > 0 && level.child('#') !== undefined) return true
  if (name === undefined) return level.qos !== NOTHING || level.retained !== NOTHING
  // every level has a filter that ends below it
  if (name === '#') return true
  if (name === '+') {
    for (const [own, child] of level.children ?? [])
      if (!(at === 0 && isReservedName(own)) && overlapsFrom(child, names, at + 1)) return true
    return false
  }
  const own = level.child(name)
  if (own !== undefined && overlapsFrom(own, names, at + 1)) return true
  const any = at === 0 && isReservedName(name) ? undefined : level.child('+')
  return any !== undefined && overlapsFrom(any, names, at + 1)
}

function qosOf(level: Level | undefined, retain: boolean): number {
  if (level === undefined) return NOTHING
  return retain ? level.retained : level.qos
}

/** What matches the parent level of # as well matches no name in these: none is without a level, none is empty. */
function levelsOf(filter: string): string[] {
  if (filter === '#') return ['+', '#']
  return filter === '/#' ? ['', '+', '#'] : filter.split('/')
}
