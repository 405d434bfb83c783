import type { Step } from './step'

/** Steps that are settled in one go; then others get their turn. */
const SLICE = 256

/** Steps that the store answers for with the same promise. */
interface Group {
  readonly steps: Step[]
  isKept: boolean
  error: unknown
}

/**
 * Brings the answers of the store to the steps, in their order. A store may answer for ten thousand commits with one
 * promise, and those must not block the loop together.
 */
export class Settlement {
  private readonly settle: (step: Step, isKept: boolean, error: unknown) => void
  private readonly answered: Group[] = []
  private at = 0
  private isRunning = false
  private lastAnswer: Promise<void> | undefined
  private last: Group = { steps: [], isKept: false, error: undefined }

  constructor(settle: (step: Step, isKept: boolean, error: unknown) => void) {
    this.settle = settle
  }

  add(step: Step, answer: Promise<void>): void {
    if (answer === this.lastAnswer) {
      this.last.steps.push(step)
      return
    }
    const group: Group = { steps: [step], isKept: true, error: undefined }
    this.lastAnswer = answer
    this.last = group
    answer.then(
      () => this.take(group),
      (error: unknown) => {
        group.isKept = false
        group.error = error
        this.take(group)
      },
    )
  }

  private take(group: Group): void {
    // a store may give the same promise again when it has settled
    if (this.last === group) this.lastAnswer = undefined
    this.answered.push(group)
    if (!this.isRunning) this.run()
  }

  private run(): void {
    this.isRunning = true
    for (let settled = 0; settled < SLICE; settled++) {
      const group = this.answered[0]
      if (group === undefined) {
        this.isRunning = false
        return
      }
      this.settle(group.steps[this.at++]!, group.isKept, group.error)
      if (this.at < group.steps.length) continue
      this.answered.shift()
      this.at = 0
    }
    setImmediate(() => this.run())
  }
}
