import { causeText, isPromise } from '../../ports/given-values'
import type { Logger } from '../../ports/logger'

/** Faults of the application's own functions: they are told of, and go no further. */
export class ApplicationFaults {
  private readonly logger: Logger
  /** True where nothing is logged: then the process warns. */
  private readonly silent: boolean

  constructor(logger: Logger, silent: boolean) {
    this.logger = logger
    this.silent = silent
  }

  /** A rejection later is what a throw is now. */
  watch(result: unknown, fields: object, text: string): void {
    if (result === undefined) return
    try {
      if (isPromise(result)) result.then(undefined, (error: unknown) => this.report(error, fields, text))
    } catch (error) {
      this.report(error, fields, text)
    }
  }

  /** What the application should look into, though nothing has failed. */
  warn(fields: object, text: string): void {
    this.logger.warn(fields, text)
    if (this.silent) process.emitWarning(text)
  }

  report(error: unknown, fields: object, text: string): void {
    this.logger.error({ err: error, ...fields }, text)
    if (this.silent) process.emitWarning(error instanceof Error ? error : `${text}: ${causeText(error)}`)
  }
}
