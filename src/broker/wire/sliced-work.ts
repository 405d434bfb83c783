import type { Rota, Worker } from './rota'

/** Steps of something long: each `undefined` that it yields lets others have their turn, a promise is waited for. */
export type Steps<T> = Generator<PromiseLike<unknown> | undefined, T, unknown>

/** Does the steps one after the other, each in its turn. */
class SlicedWork<T> implements Worker {
  private answer: unknown
  private readonly steps: Steps<T>
  private readonly rota: Rota
  private readonly done: (value: T) => void
  private readonly failed: (error: unknown) => void

  constructor(steps: Steps<T>, rota: Rota, done: (value: T) => void, failed: (error: unknown) => void) {
    this.steps = steps
    this.rota = rota
    this.done = done
    this.failed = failed
  }

  takeTurn(): void {
    try {
      const { answer } = this
      this.answer = undefined
      const { done, value } = this.steps.next(answer)
      if (done === true) this.done(value)
      else if (value === undefined) this.rota.add(this)
      else value.then((later) => this.goOn(later), this.failed)
    } catch (error) {
      this.failed(error)
    }
  }

  private goOn(answer: unknown): void {
    this.answer = answer
    this.rota.add(this)
  }
}

/** Settles once all steps are done: the first of them in the next round. */
export function inSlices<T>(rota: Rota, steps: Steps<T>): Promise<T> {
  return new Promise((resolve, reject) => rota.add(new SlicedWork(steps, rota, resolve, reject)))
}
