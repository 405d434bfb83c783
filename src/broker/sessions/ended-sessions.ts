import type { Clock } from '../../ports/clock'
import type { SessionEndReason } from '../../ports/events'

/** Sessions that are remembered. */
const REMEMBERED = 1024
/** Longer Client Identifiers are not. */
const LONGEST_IDENTIFIER = 256

/** The end of a session. */
export interface SessionEnd {
  readonly why: SessionEndReason
  /** `clock.now()`. */
  readonly at: number
}

/** Remembers how the last sessions have ended. */
export class EndedSessions {
  private readonly ends = new Map<string, SessionEnd>()
  private readonly clock: Clock

  constructor(clock: Clock) {
    this.clock = clock
  }

  note(clientId: string, why: SessionEndReason): void {
    const { ends } = this
    if (clientId.length > LONGEST_IDENTIFIER) return
    // the last to end comes last
    ends.delete(clientId)
    ends.set(clientId, { why, at: this.clock.now() })
    if (ends.size > REMEMBERED) ends.delete(ends.keys().next().value!)
  }

  of(clientId: string): SessionEnd | undefined {
    return this.ends.get(clientId)
  }
}
