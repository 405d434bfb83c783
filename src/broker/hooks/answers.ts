import type { Clock } from '../../ports/clock'
import { causeText, reading, shown } from '../../ports/given-values'
import type { Denial } from '../../ports/hooks'
import { MqttError } from '../../protocol/mqtt-error'
import type { ReasonProperties } from '../../protocol/packet'
import { ReasonCode } from '../../protocol/reason-code'
import { givenDenial } from '../wire/given-reason'

/** What became of a question to a hook. `reasonCode` 0 allows. */
export interface Answer {
  readonly reasonCode: number
  readonly denial: Denial | undefined
  /** Why the hook gave no answer of its own. */
  readonly error: MqttError | undefined
}

export const allowed: Readonly<Answer> = { reasonCode: 0, denial: undefined, error: undefined }

/**
 * Reads a verdict: true allows, a Denial denies with its own code, everything else with `reasonCode`. A Denial that MQTT
 * cannot carry denies without its words, and is an error of the hook `name`.
 */
export function readVerdict(verdict: unknown, reasonCode: number, name = 'hook'): Answer {
  if (verdict === true) return allowed
  if (typeof verdict !== 'object' || verdict === null) return { reasonCode, denial: undefined, error: undefined }
  let own: unknown
  try {
    own = reading('reasonCode', () => (verdict as { reasonCode?: unknown }).reasonCode)
    const denial = givenDenial(verdict)
    if (!isReasonCode(own)) throw new TypeError(`reasonCode must be a Reason Code of a refusal, not ${shown(own)}`)
    return { reasonCode: isDenialCode(own) ? own : reasonCode, denial, error: undefined }
  } catch (cause) {
    return failedHook(name, cause, isDenialCode(own) ? own : reasonCode)
  }
}

const isReasonCode = (code: unknown): boolean =>
  Number.isInteger(code) && (code as number) >= 0 && (code as number) <= 0xff

/** Another number would stand for success once it is written into its byte. */
const isDenialCode = (code: unknown): code is number => isReasonCode(code) && (code as number) >= 0x80

/** A hook that failed denies. */
export function failedHook(name: string, cause: unknown, reasonCode: number = ReasonCode.NotAuthorized): Answer {
  const message = `the ${name} hook failed, so the answer is no: ${causeText(cause)}`
  return { reasonCode, denial: undefined, error: new MqttError('GNATMQ_HOOK_FAILED', message, { cause, reasonCode }) }
}

/** What a denial says besides its code. */
export function explanation(denial: Denial | undefined): ReasonProperties {
  const properties: ReasonProperties = {}
  if (denial?.reasonString !== undefined) properties.reasonString = denial.reasonString
  if (denial?.userProperties !== undefined) properties.userProperties = denial.userProperties
  return properties
}

/** Settles as `promise` does, or rejects after `timeoutMs`. */
export function withTimeout<T>(promise: PromiseLike<T>, clock: Clock, timeoutMs: number): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const cancel = clock.after(timeoutMs, () => reject(new Error(`no answer within ${timeoutMs} ms`)))
    // a foreign promise may throw here, or answer with another promise
    Promise.resolve(promise).then(
      (value) => {
        cancel()
        resolve(value)
      },
      (error: unknown) => {
        cancel()
        reject(error)
      },
    )
  })
}

/**
 * Calls `step` for each item in turn, the next one once `then` was called. As deep for a hundred thousand answers at once
 * as for one.
 */
export function inTurn<T>(items: readonly T[], step: (item: T, then: () => void) => void, done: () => void): void {
  let at = 0
  let looping = false
  let answered = false
  const next = (): void => {
    answered = true
    if (looping) return
    looping = true
    while (answered && at < items.length) {
      answered = false
      step(items[at++]!, next)
    }
    looping = false
    if (answered) done()
  }
  next()
}

export { causeText, isPromise } from '../../ports/given-values'
