import { MqttError } from './mqtt-error'
import { isReservedName, parseSharedFilter, topicFilterError } from './topic'

/**
 * Whether a client that may subscribe to `filter` may subscribe to `other` as well: true if `filter` matches every Topic
 * Name that `other` matches (section 4.7). Of a Shared Subscription, `$share/NAME/` is left out. A Topic Name is a Topic
 * Filter that matches itself alone, so that `covers(filter, topic)` says whether `filter` matches `topic`.
 *
 * ```ts
 * covers('home/#', 'home/+/light') // true
 * covers('home/+', 'home/#') // false: home/kitchen/light
 * covers('#', '$SYS/#') // false: a wildcard does not match a name that begins with $ [MQTT-4.7.2-1]
 * ```
 *
 * Throws GNATMQ_TOPIC_FILTER_INVALID for what is no Topic Filter.
 */
export function covers(filter: string, other: string): boolean {
  const levels = levelsOf('filter', filter)
  const others = levelsOf('other', other)
  if (isWildcard(levels[0]!) && isReservedName(others[0]!)) return false
  for (let i = 0; i < levels.length; i++) {
    const level = levels[i]!
    // a/# matches a as well
    if (level === '#') return others.length >= i
    const otherLevel = others[i]
    if (otherLevel === undefined || otherLevel === '#') return false
    if (level !== '+' && level !== otherLevel) return false
  }
  return others.length === levels.length
}

function levelsOf(name: string, filter: string): readonly string[] {
  const error = typeof filter === 'string' ? topicFilterError(filter, Number.POSITIVE_INFINITY) : 'it is not a string'
  if (error !== undefined) throw new MqttError('GNATMQ_TOPIC_FILTER_INVALID', `covers: ${name}: ${error}`)
  const bare = parseSharedFilter(filter)?.filter ?? filter
  // what matches the parent level of # as well matches no name here: none is without a level, none is empty
  if (bare === '#') return ['+', '#']
  return bare === '/#' ? ['', '+', '#'] : bare.split('/')
}

function isWildcard(level: string): boolean {
  return level === '+' || level === '#'
}
