/** Steps within a step: what they wait for is its commit. */
export class Joined {
  readonly committed: Promise<void>
  private settle: (committed: Promise<void> | undefined) => void = () => undefined

  constructor() {
    this.committed = new Promise((resolve) => {
      this.settle = resolve
    })
    this.committed.catch(() => undefined)
  }

  follow(committed: Promise<void> | undefined): void {
    this.settle(committed)
  }
}
