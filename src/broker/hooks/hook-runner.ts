import type { Clock } from '../../ports/clock'
import { isPromise } from '../../ports/given-values'
import type { Counters } from '../wire/counters'

/** Asks hooks of the application. A hook that throws, rejects or does not answer within `timeoutMs` has failed. */
export class HookRunner {
  private readonly clock: Clock
  private readonly timeoutMs: number
  private readonly counters: Counters | undefined

  constructor(clock: Clock, timeoutMs: number, counters?: Counters) {
    this.clock = clock
    this.timeoutMs = timeoutMs
    this.counters = counters
  }

  /**
   * What `read` makes of the hook's answer, or `failed` of its failure: at once where the hook answers at once. The
   * promise never rejects.
   */
  ask<T>(hook: () => unknown, read: (verdict: unknown) => T, failed: (cause: unknown) => T): T | Promise<T> {
    try {
      const verdict = hook()
      return isPromise(verdict) ? this.inTime(verdict).then(read).catch(failed) : read(verdict)
    } catch (cause) {
      return failed(cause)
    }
  }

  private inTime(verdict: PromiseLike<unknown>): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const { timeoutMs } = this
      const measured = this.counters?.measured ?? null
      const begunAt = measured === null ? 0 : this.clock.now()
      const cancel = this.clock.after(timeoutMs, () => reject(new Error(`no answer within ${timeoutMs} ms`)))
      // a foreign promise may throw here, or answer with another promise
      Promise.resolve(verdict)
        .then(resolve, reject)
        .finally(() => {
          cancel()
          measured?.hooks.observe(this.clock.now() - begunAt)
        })
    })
  }
}
