/** Something that may fail at any time, while others wait for an answer that then never comes. */
export class Failing {
  failure = null

  constructor() {
    this.failing = new Promise((_, reject) => {
      this.failed = (error) => {
        this.failure ??= error
        reject(error)
      }
    })
    this.failing.catch(() => {})
  }

  /** What `promise` resolves with, unless a failure comes first. */
  unlessFailing(promise) {
    return Promise.race([promise, this.failing])
  }
}
