/** What is done, in order, once commits have settled. */
type Step = (error: unknown) => void

/**
 * Keeps one connection's acknowledgements in order while commits are open: what is ready early waits for what came
 * before it [MQTT-4.6.0-2].
 */
export class AnswerQueue {
  private steps: { ready: boolean; error: unknown; run: Step }[] = []
  /** Where the first that has not run lies: to shift thousands one by one would move all that are behind each time. */
  private head = 0

  get empty(): boolean {
    return this.head === this.steps.length
  }

  /** Runs `step` once `committed` has settled and everything before it has run. The error is undefined if it was kept. */
  after(committed: Promise<void> | undefined, run: Step): void {
    if (committed === undefined && this.empty) {
      run(undefined)
      return
    }
    const step = { ready: committed === undefined, error: undefined as unknown, run }
    this.steps.push(step)
    if (committed === undefined) return
    const settle = (error: unknown): void => {
      step.ready = true
      step.error = error
      this.advance()
    }
    committed.then(
      () => settle(undefined),
      (error: unknown) => settle(error ?? new Error('the store did not commit')),
    )
  }

  private advance(): void {
    while (this.steps[this.head]?.ready === true) {
      const { run, error } = this.steps[this.head++]!
      if (this.empty) this.clear()
      run(error)
    }
    // what has run is let go in large pieces, also where the queue is never empty
    if (this.head > 1024 && this.head * 2 > this.steps.length) {
      this.steps = this.steps.slice(this.head)
      this.head = 0
    }
  }

  private clear(): void {
    this.steps = []
    this.head = 0
  }
}
