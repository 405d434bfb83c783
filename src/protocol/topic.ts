import { isEncodableString, isWellFormedUtf8 } from './utf8'

/** Levels that a Topic Name or Topic Filter may have, unless the broker is told otherwise. */
const defaultLevelLimit = 128

/** Bytes of UTF-8 that a string has room for [MQTT-4.7.3-3]. */
const maximumLength = 65_535

const slash = 0x2f
const plus = 0x2b
const hash = 0x23
const dollar = 0x24
const sharePrefix = '$share/'

/** Topics that tell of the broker itself: `$SYS` and all below it (section 4.7.2). */
const systemTopic = '$SYS'

/** A Shared Subscription's parts (MQTT 5.0 section 4.8.2). */
export interface SharedFilter {
  shareName: string
  filter: string
}

/** What is wrong with a Topic Name (section 4.7), or undefined. */
export function topicNameError(topic: string, levelLimit: number = defaultLevelLimit): string | undefined {
  const error = stringError(topic, 'Topic Name')
  if (error !== undefined) return error
  let levels = 1
  for (let index = 0; index < topic.length; index += 1) {
    const unit = topic.charCodeAt(index)
    if (unit === plus || unit === hash) {
      return 'a Topic Name holds a wildcard: + and # belong into Topic Filters only [MQTT-3.3.2-2]'
    }
    if (unit === slash) levels += 1
  }
  return levels > levelLimit ? levelError('Topic Name', levels, levelLimit) : undefined
}

export function isTopicName(topic: string, levelLimit: number = defaultLevelLimit): boolean {
  return topicNameError(topic, levelLimit) === undefined
}

/** Whether a Topic Name or Topic Filter begins with `$`: a filter that begins with a wildcard does not match it [MQTT-4.7.2-1]. */
export function isReservedName(name: string): boolean {
  return name.charCodeAt(0) === dollar
}

/** Whether a Topic Name is the broker's own, `$SYS` or below it: no client may publish to it. */
export function isSystemTopic(topic: string): boolean {
  return topic.startsWith(systemTopic) && (topic.length === systemTopic.length || topic.charCodeAt(4) === slash)
}

/** Whether bytes are a Topic Name: at least one byte, UTF-8, no wildcard. The level limit is not looked at. */
export function isTopicNameBytes(bytes: Uint8Array, start: number, end: number): boolean {
  return end > start && !hasWildcardByte(bytes, start, end) && isWellFormedUtf8(bytes, start, end)
}

/** Whether + or # occurs in UTF-8 bytes: no byte of a longer sequence looks like them. */
export function hasWildcardByte(bytes: Uint8Array, start: number, end: number): boolean {
  for (let offset = start; offset < end; offset += 1) {
    const byte = bytes[offset]
    if (byte === plus || byte === hash) return true
  }
  return false
}

/** What is wrong with a Topic Filter (section 4.7), or with a Shared Subscription's (4.8.2), or undefined. */
export function topicFilterError(filter: string, levelLimit: number = defaultLevelLimit): string | undefined {
  return stringError(filter, 'Topic Filter') ?? filterFormError(filter, levelLimit)
}

/** The same for a text that was read as UTF-8, of whatever number of levels. */
export function readFilterError(filter: string): string | undefined {
  return filter === '' ? stringError(filter, 'Topic Filter') : filterFormError(filter, Number.POSITIVE_INFINITY)
}

function filterFormError(filter: string, levelLimit: number): string | undefined {
  if (!filter.startsWith(sharePrefix)) return levelsError(filter, 0, levelLimit)
  const nameEnd = filter.indexOf('/', sharePrefix.length)
  const shareName = filter.slice(sharePrefix.length, nameEnd < 0 ? undefined : nameEnd)
  if (shareName === '') return 'a Share Name is empty: write $share/NAME/filter [MQTT-4.8.2-1]'
  if (shareName.includes('+') || shareName.includes('#')) {
    return 'a Share Name holds + or #: choose a name without them [MQTT-4.8.2-2]'
  }
  if (nameEnd < 0 || nameEnd + 1 === filter.length) {
    return 'a Shared Subscription has no Topic Filter: write $share/NAME/filter [MQTT-4.8.2-2]'
  }
  return levelsError(filter, nameEnd + 1, levelLimit)
}

export function isTopicFilter(filter: string, levelLimit: number = defaultLevelLimit): boolean {
  return topicFilterError(filter, levelLimit) === undefined
}

/**
 * The parts of `$share/NAME/filter`. Undefined for a filter that is not shared, and for a shared one whose name or
 * filter is not valid: `topicFilterError` says why.
 */
export function parseSharedFilter(filter: string): SharedFilter | undefined {
  if (!filter.startsWith(sharePrefix)) return undefined
  const nameEnd = filter.indexOf('/', sharePrefix.length)
  if (nameEnd < 0) return undefined
  const parts = { shareName: filter.slice(sharePrefix.length, nameEnd), filter: filter.slice(nameEnd + 1) }
  if (parts.shareName === '' || parts.shareName.includes('+') || parts.shareName.includes('#')) return undefined
  return parts.filter === '' || levelsError(filter, nameEnd + 1, Number.POSITIVE_INFINITY) ? undefined : parts
}

/**
 * Whether a valid Topic Filter matches a Topic Name (section 4.7). A filter that begins with a wildcard does not match
 * a name that begins with `$` [MQTT-4.7.2-1]. Takes the filter without its `$share/NAME/`.
 */
export function matches(filter: string, topic: string): boolean {
  const first = filter.charCodeAt(0)
  if (isReservedName(topic) && (first === plus || first === hash)) return false
  let at = 0
  let topicAt = 0
  for (;;) {
    const levelEnd = endOfLevel(filter, at)
    const topicEnd = endOfLevel(topic, topicAt)
    const unit = filter.charCodeAt(at)
    if (unit === hash) return true
    if (unit !== plus && !sameLevel(filter, at, levelEnd, topic, topicAt, topicEnd)) return false
    if (topicEnd === topic.length) {
      // `a/#` matches `a` as well
      return levelEnd === filter.length || (levelEnd === filter.length - 2 && filter.charCodeAt(levelEnd + 1) === hash)
    }
    if (levelEnd === filter.length) return false
    at = levelEnd + 1
    topicAt = topicEnd + 1
  }
}

function endOfLevel(text: string, start: number): number {
  const end = text.indexOf('/', start)
  return end < 0 ? text.length : end
}

function sameLevel(filter: string, start: number, end: number, topic: string, topicStart: number, topicEnd: number) {
  return end - start === topicEnd - topicStart && filter.slice(start, end) === topic.slice(topicStart, topicEnd)
}

function stringError(text: string, what: string): string | undefined {
  if (text === '') return `a ${what} is empty: it needs at least one character [MQTT-4.7.3-1]`
  if (text.length > maximumLength || (text.length * 3 > maximumLength && Buffer.byteLength(text) > maximumLength)) {
    return `a ${what} is longer than 65,535 bytes of UTF-8: shorten it [MQTT-4.7.3-3]`
  }
  if (!isEncodableString(text)) return `a ${what} holds U+0000 or a lone surrogate: leave it out [MQTT-4.7.3-2]`
  return undefined
}

/** Wildcards stand alone in their level [MQTT-4.7.1-3], and # in the last one only [MQTT-4.7.1-2]. */
function levelsError(filter: string, start: number, levelLimit: number): string | undefined {
  let levels = 1
  for (let index = start; index < filter.length; index += 1) {
    const unit = filter.charCodeAt(index)
    if (unit === slash) {
      levels += 1
    } else if (unit === plus || unit === hash) {
      const beginsLevel = index === start || filter.charCodeAt(index - 1) === slash
      const last = index + 1 === filter.length
      if (unit === hash && !(beginsLevel && last)) {
        return 'a Topic Filter has # where it is not the whole last level: write a/# [MQTT-4.7.1-2]'
      }
      if (!beginsLevel || !(last || filter.charCodeAt(index + 1) === slash)) {
        return 'a Topic Filter has + beside other characters: it must be a whole level, as in a/+/b [MQTT-4.7.1-3]'
      }
    }
  }
  return levels > levelLimit ? levelError('Topic Filter', levels, levelLimit) : undefined
}

function levelError(what: string, levels: number, levelLimit: number): string {
  return `a ${what} has ${levels} levels, ${levelLimit} are allowed: use fewer, or raise the limit`
}
