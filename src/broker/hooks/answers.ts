import { causeText, reading, shown } from '../../ports/given-values'
import type { Denial } from '../../ports/hooks'
import { MqttError } from '../../protocol/mqtt-error'
import type { ReasonProperties } from '../../protocol/packet'
import { ReasonCode } from '../../protocol/reason-code'
import { givenDenial } from '../wire/given-reason'

/** The answer of a hook. `reasonCode` 0 allows. */
export interface Answer {
  readonly reasonCode: number
  readonly denial: Denial | undefined
  /** The failure of the hook, where it gave no answer of its own. */
  readonly error: MqttError | undefined
}

export const allowed: Readonly<Answer> = { reasonCode: 0, denial: undefined, error: undefined }

/** Denied by the broker itself. */
export const denied: Readonly<Answer> = { reasonCode: ReasonCode.NotAuthorized, denial: undefined, error: undefined }

/**
 * Reads a verdict: true allows, a Denial denies with its own code, everything else with `reasonCode`. A Denial that MQTT
 * cannot carry denies without its properties, and is an error of the hook `name`.
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

/** Any other number would read as success once it is written into one byte. */
const isDenialCode = (code: unknown): code is number => isReasonCode(code) && (code as number) >= 0x80

/** A hook that failed denies. */
export function failedHook(name: string, cause: unknown, reasonCode: number = ReasonCode.NotAuthorized): Answer {
  const message = `the ${name} hook failed, so the answer is no: ${causeText(cause)}`
  return { reasonCode, denial: undefined, error: new MqttError('GNATMQ_HOOK_FAILED', message, { cause, reasonCode }) }
}

/** The answer that says no because of an error. */
export const refusalOf = (error: MqttError): Answer => ({
  reasonCode: error.reasonCode ?? ReasonCode.NotAuthorized,
  denial: undefined,
  error,
})

/** The properties of a denial besides its Reason Code. */
export function explanation(denial: Denial | undefined): ReasonProperties {
  const properties: ReasonProperties = {}
  if (denial?.reasonString !== undefined) properties.reasonString = denial.reasonString
  if (denial?.userProperties !== undefined) properties.userProperties = denial.userProperties
  return properties
}

/** Whether an answer of a hook allows. */
export const isAllowed = (answer: Answer): boolean => answer.reasonCode === ReasonCode.Success
