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
        const result: unknown = logger[level](fields, message)
        if (isPromise(result)) result.then(undefined, warn)
      } catch (cause) {
        warn(cause)
      }
    }
  }
  return guarded
}

function warn(cause: unknown): void {
  process.emitWarning(`the logger of the application failed: ${causeText(cause)}`)
}
