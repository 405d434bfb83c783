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
