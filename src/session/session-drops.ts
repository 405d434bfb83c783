import { type DropReason, noDrops } from '../protocol/drop-reason'
import type { PublishSource } from '../protocol/publish-source'

/** What is known of a message that is lost: its topic, or where that stands. */
export type LostMessage = { readonly topic: string } | PublishSource

/** Told of each message that is lost to a session. `lost` is null where nothing is known of it. */
export interface DropWatch<S> {
  dropped(session: S, reason: DropReason, messages: number, lost: LostMessage | null): void
}

/** What a session has lost, by reason. Most sessions lose nothing: it is made with the first loss. */
export class SessionDrops {
  readonly counts = noDrops()
  /** Seconds of the broker's clock at which the last one was lost. */
  readonly lastAt = noDrops()
  /** The topic of the last one, where it was at hand. */
  readonly lastTopics: (string | undefined)[] = []

  get total(): number {
    let total = 0
    for (const count of this.counts) total += count
    return total
  }
}
