/** What is done, in order, once commits have settled. */
type Step = (error: unknown) => void

/**
 * Keeps one connection's acknowledgements in order while commits are open: what is ready early waits for what came
 * before it [MQTT-4.6.0-2].
 */
export class CommitQueue {
  private readonly steps: { ready: boolean; error: unknown; run: Step }[] = []

  get empty(): boolean {
    return this.steps.length === 0
  }

  /** Runs `step` once `committed` has settled and everything before it has run. The error is undefined if it was kept. */
  after(committed: Promise<void> | undefined, run: Step): void {
    if (committed === undefined && this.steps.length === 0) {
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
    while (this.steps[0]?.ready === true) {
      const { run, error } = this.steps.shift()!
      run(error)
    }
  }
}
