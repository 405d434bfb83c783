import { types } from 'node:util'
import { MqttError } from '../protocol/mqtt-error'
import type { UserProperties } from '../protocol/packet'
import { isEncodableString } from '../protocol/utf8'

/** What the application has given, looked at before it is used: each value is read once, whatever its getters do. */

/** Bytes of UTF-8 that a string of MQTT has room for (section 1.5.4). */
const MAXIMUM_STRING = 65_535

/** A value of another type, or out of its range. */
export function invalidValue(what: string, wanted: string, value: unknown, cause?: unknown): MqttError {
  return new MqttError('GNATMQ_OPTION_INVALID', `${what} must be ${wanted}, not ${shown(value)}`, { cause })
}

/**
 * The fields of an object, own or inherited. Throws GNATMQ_OPTION_UNKNOWN for a field that is not known; where `others`
 * are passed over, only for one that looks like a known one.
 */
export function readFields<K extends string>(
  what: string,
  given: unknown,
  known: readonly K[],
  others: 'refused' | 'passed over' = 'refused',
): { [name in K]?: unknown } {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) throw invalidValue(what, 'an object', given)
  return reading(what, () => {
    checkNames(what, given, known, others)
    const fields: { [name in K]?: unknown } = {}
    for (const name of known) {
      const value = (given as { [name in K]?: unknown })[name]
      if (value !== undefined) fields[name] = value
    }
    return fields
  })
}

/** The same without reading a field. */
export function checkNames(
  what: string,
  given: object,
  known: readonly string[],
  others: 'refused' | 'passed over' = 'refused',
): void {
  for (const name in given) {
    if (known.includes(name) || !Object.hasOwn(given, name)) continue
    if (others === 'refused' || nearest(name, known) !== undefined) throw unknownField(what, name, known)
  }
}

/** Runs `read`, which touches the application's own objects: a getter that throws is named. */
export function reading<T>(what: string, read: () => T): T {
  try {
    return read()
  } catch (cause) {
    throw unreadable(what, cause)
  }
}

/** What a getter of the application has thrown, or what was found wrong already. */
export function unreadable(what: string, cause: unknown): MqttError {
  if (cause instanceof MqttError) return cause
  return new MqttError('GNATMQ_OPTION_INVALID', `${what} cannot be read: ${causeText(cause)}`, { cause })
}

/** A field that is not known, and the one that it looks like. */
function unknownField(what: string, name: string, known: readonly string[]): MqttError {
  const meant = nearest(name, known)
  const hint = meant === undefined ? '' : `, did you mean ${meant}`
  return new MqttError(
    'GNATMQ_OPTION_UNKNOWN',
    `there is no ${what}.${name}${hint}: the options are ${known.join(', ')}`,
  )
}

export function givenBoolean(what: string, value: unknown): boolean {
  if (typeof value !== 'boolean') throw invalidValue(what, 'true or false', value)
  return value
}

export function givenInteger(what: string, value: unknown, minimum: number, maximum: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < minimum || value > maximum)
    throw invalidValue(what, `a whole number from ${minimum} to ${maximum}`, value)
  return value
}

// biome-ignore lint/complexity/noBannedTypes: what it takes and answers is the caller's matter
export function givenFunction(what: string, value: unknown): Function {
  if (typeof value !== 'function') throw invalidValue(what, 'a function', value)
  return value
}

/** A string that MQTT can carry (section 1.5.4). */
export function givenString(what: string, value: unknown): string {
  if (typeof value !== 'string') throw invalidValue(what, 'a string', value)
  if (value.length * 3 > MAXIMUM_STRING && Buffer.byteLength(value) > MAXIMUM_STRING)
    throw new MqttError('GNATMQ_OPTION_INVALID', `${what} is longer than 65,535 bytes of UTF-8: shorten it`)
  if (!isEncodableString(value))
    throw new MqttError('GNATMQ_OPTION_INVALID', `${what} holds U+0000 or a lone surrogate: leave it out`)
  return value
}

/** A copy of a list of names and values. */
export function givenUserProperties(what: string, value: unknown): UserProperties {
  if (!Array.isArray(value)) throw invalidValue(what, 'an array of [name, value]', value)
  return reading(what, () => {
    const pairs: (readonly [string, string])[] = []
    const { length } = value
    for (let i = 0; i < length; i++) {
      const pair: unknown = value[i]
      if (!Array.isArray(pair) || pair.length !== 2) throw invalidValue(`${what}[${i}]`, 'an array [name, value]', pair)
      pairs.push([givenString(`${what}[${i}][0]`, pair[0]), givenString(`${what}[${i}][1]`, pair[1])])
    }
    return pairs
  })
}

/**
 * A copy of the bytes of a typed array, a DataView or a buffer, as they lie in memory. `maximum` is looked at before
 * anything is copied. A buffer that has been transferred elsewhere is refused: it only looks empty.
 */
export function givenBytes(what: string, value: unknown, maximum: number): Buffer {
  // the usual case: it has bytes, so its buffer is there
  if (Buffer.isBuffer(value) && types.isUint8Array(value) && value.length > 0 && value.length <= maximum)
    return Buffer.from(value)
  return reading(what, () => {
    const view = bytesOf(value)
    if (view === undefined) throw invalidValue(what, 'a typed array, a DataView or an ArrayBuffer', value)
    if (view.length > maximum)
      throw new MqttError('GNATMQ_PACKET_TOO_LARGE', `${what} has ${view.length} bytes, ${maximum} are the most`)
    return Buffer.from(view)
  })
}

function bytesOf(value: unknown): Uint8Array | undefined {
  if (ArrayBuffer.isView(value)) {
    const { buffer, byteOffset, byteLength } = value
    // throws for one whose buffer is gone or has shrunk
    if (byteLength === 0 && types.isTypedArray(value)) Uint8Array.prototype.at.call(value as Uint8Array, 0)
    return new Uint8Array(buffer, byteOffset, byteLength)
  }
  return types.isAnyArrayBuffer(value) ? new Uint8Array(value) : undefined
}

/** Throws GNATMQ_OPTION_INVALID. */
export function givenSignal(value: unknown): AbortSignal {
  if (!isSignal(value)) throw invalidValue('signal', 'an AbortSignal', value)
  return value
}

/** Not instanceof: there are AbortSignals of other makes. */
function isSignal(value: unknown): value is AbortSignal {
  if (typeof value !== 'object' || value === null) return false
  return reading('signal', () => {
    const { aborted, addEventListener, removeEventListener } = value as Partial<AbortSignal>
    const listens = typeof addEventListener === 'function' && typeof removeEventListener === 'function'
    return listens && typeof aborted === 'boolean'
  })
}

/** A value, in a few words. */
export function shown(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  if (typeof value === 'object') return 'an object'
  if (typeof value === 'function') return 'a function'
  if (typeof value === 'string') return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value)
  return String(value)
}

/** Whether something answers later. */
export function isPromise<T>(value: unknown): value is PromiseLike<T> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
}

/** An answer that should have been given at once: what becomes of the promise ends no process. */
export function disregard(value: unknown): void {
  if (isPromise(value)) value.then(undefined, () => undefined)
}

/** What was thrown, in words: it may be anything, also what has none. */
export function causeText(cause: unknown): string {
  try {
    return cause instanceof Error ? String(cause.message) : String(cause)
  } catch {
    return 'it threw what cannot be shown'
  }
}

/** The known name that another looks like: by its case, or but for two letters. */
function nearest(name: string, known: readonly string[]): string | undefined {
  let best: string | undefined
  let least = Math.min(3, Math.ceil(name.length / 2))
  for (const one of known) {
    const distance =
      one.toLowerCase() === name.toLowerCase() ? 0 : Math.abs(one.length - name.length) < 3 ? distanceOf(name, one) : 3
    if (distance < least) {
      best = one
      least = distance
    }
  }
  return best
}

/** Letters to change, add, leave out or exchange with their neighbour (optimal string alignment). */
function distanceOf(from: string, to: string): number {
  let beforeLast: number[] = []
  let last = Array.from({ length: to.length + 1 }, (_, i) => i)
  for (let i = 1; i <= from.length; i++) {
    const row = [i]
    for (let j = 1; j <= to.length; j++) {
      const changed = last[j - 1]! + (from[i - 1] === to[j - 1] ? 0 : 1)
      let least = Math.min(changed, last[j]! + 1, row[j - 1]! + 1)
      if (i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1])
        least = Math.min(least, beforeLast[j - 2]! + 1)
      row.push(least)
    }
    beforeLast = last
    last = row
  }
  return last[to.length]!
}
