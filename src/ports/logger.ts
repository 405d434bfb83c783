import { printable } from '../protocol/printable'
import { causeText, isPromise } from './given-values'

export type LogMethod = (fields: object, message: string) => void

/** Any logger with pino's method shape: fields first, then the message. The broker calls these three and no others. */
export interface Logger {
  info: LogMethod
  warn: LogMethod
  error: LogMethod
}

const nothing: LogMethod = () => undefined

/** The default: writes nothing. */
export const silentLogger: Logger = { info: nothing, warn: nothing, error: nothing }

const levels = ['info', 'warn', 'error'] as const

/** What every logger must have. */
export const loggerMethods: readonly string[] = levels

/** The same logger, whose faults end nothing: the process warns of them. */
export function guardedLogger(logger: Logger): Logger {
  const guarded: Logger = { ...silentLogger }
  for (const level of levels) {
    guarded[level] = (fields, message) => {
      try {
        const result: unknown = logger[level](withPrintableText(fields), printable(message))
        if (isPromise(result)) result.then(undefined, warn)
      } catch (cause) {
        warn(cause)
      }
    }
  }
  return guarded
}

/** What clients have named, such as a Client Identifier, without what a terminal would obey. */
function withPrintableText(fields: object): object {
  let changed: Record<string, unknown> | undefined
  for (const [name, value] of Object.entries(fields)) {
    const shown = typeof value === 'string' ? printable(value) : value
    if (shown !== value) changed = { ...(changed ?? fields), [name]: shown }
  }
  return changed ?? fields
}

function warn(cause: unknown): void {
  process.emitWarning(`the logger of the application failed: ${causeText(cause)}`)
}
