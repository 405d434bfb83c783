import type { ExplainCause, ExplainCheck, Explanation } from '../../ports/explanation'

type Details = ExplainCheck['details']

/** What has been found out about a message so far. */
export class Findings {
  private readonly checks: ExplainCheck[] = []
  private refusedBy: ExplainCause | undefined = undefined
  private delayedBy: ExplainCause | undefined = undefined
  private formerly: ExplainCause | undefined = undefined

  /** True once the message is known not to be delivered. */
  get isRefused(): boolean {
    return this.refusedBy !== undefined
  }

  /** True once the message is known to wait. */
  get isDelayed(): boolean {
    return this.delayedBy !== undefined
  }

  pass(check: string, text: string, details: Details = {}): void {
    this.checks.push({ check, passed: true, text, details })
  }

  /** The message is not delivered. */
  refuse(check: string, cause: ExplainCause, text: string, details: Details = {}): void {
    this.refusedBy ??= cause
    this.checks.push({ check, passed: false, text, details })
  }

  /** The message waits. */
  delay(check: string, cause: ExplainCause, text: string, details: Details = {}): void {
    this.delayedBy ??= cause
    this.checks.push({ check, passed: false, text, details })
  }

  /** A former message to the topic was lost. */
  lose(check: string, cause: ExplainCause, text: string, details: Details): void {
    this.formerly ??= cause
    this.checks.push({ check, passed: false, text, details })
  }

  /** What was lost before explains more than what waits now. */
  explanation(clientId: string, topic: string, at: Date): Explanation {
    const { checks, delayedBy, formerly, refusedBy } = this
    const delivered = refusedBy !== undefined ? 'no' : delayedBy !== undefined ? 'later' : 'now'
    return { clientId, topic, at, delivered, cause: refusedBy ?? formerly ?? delayedBy ?? 'none', checks }
  }
}
