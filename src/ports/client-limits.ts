import { invalidValue, readFields } from './given-values'

/** What bounds one client, besides `limits` of the broker. What is left out is bounded by those alone. */
export interface ClientLimits {
  /** Messages that it may publish in a second; what comes faster waits, and its socket is not read from. */
  readonly messagesPerSecond?: number | undefined
  /** Bytes of PUBLISH packets in a second, in the same way. */
  readonly bytesPerSecond?: number | undefined
  /** Seconds in which it may send faster than that all the time; then its connection ends with 0x96. Default: without end. */
  readonly rateTolerance?: number | undefined
  /** Connections of its user at the same time. Connections whose limits do not have this do not count. */
  readonly maximumConnections?: number | undefined
  readonly maximumSubscriptions?: number | undefined
  /** Messages that wait in its session. Smaller than that of `limits`. */
  readonly maximumQueuedMessages?: number | undefined
  /** Bytes of messages that wait in its session. Smaller than that of `limits`. */
  readonly maximumQueuedBytes?: number | undefined
}

/** Whether a limit is a whole number. */
const limitNames: Readonly<Record<keyof ClientLimits, boolean>> = {
  messagesPerSecond: false,
  bytesPerSecond: false,
  rateTolerance: false,
  maximumConnections: true,
  maximumSubscriptions: true,
  maximumQueuedMessages: true,
  maximumQueuedBytes: true,
}

/** Limits that the application gives, copied. Throws GNATMQ_OPTION_INVALID or GNATMQ_OPTION_UNKNOWN. */
export function givenClientLimits(what: string, given: unknown): ClientLimits {
  const names = Object.keys(limitNames) as (keyof ClientLimits)[]
  const limits = readFields(what, given, names)
  for (const name of names) {
    const value = limits[name]
    if (value === undefined) delete limits[name]
    else if (limitNames[name]) {
      if (!Number.isInteger(value) || (value as number) < 0)
        throw invalidValue(`${what}.${name}`, 'a whole number from 0', value)
    } else if (typeof value !== 'number' || !(value > 0) || value === Number.POSITIVE_INFINITY)
      throw invalidValue(`${what}.${name}`, 'a number above 0', value)
  }
  return limits as ClientLimits
}
