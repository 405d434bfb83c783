import type { RevocationTarget } from '../../ports/revocation'
import { covers } from '../../protocol/covers'
import { parseSharedFilter } from '../../protocol/topic'

/** Whom a revocation may be about. */
interface Revocable {
  readonly clientId: string
  readonly username: string | undefined
}

/** Something that the application was asked about, and how many revocations there had been by then. */
export interface Watch {
  readonly begun: number
}

/**
 * Revocations that came while the application was asked: an answer from before one must not give back what that has taken.
 * It keeps those that something still waits for.
 */
export class RevocationLog {
  private count = 0
  private entries: { readonly number: number; readonly target: RevocationTarget }[] = []
  /** In the order of their beginning. */
  private readonly watches = new Set<Watch>()

  add(target: RevocationTarget): void {
    this.count++
    if (this.watches.size > 0) this.entries.push({ number: this.count, target })
  }

  begin(): Watch {
    const watch = { begun: this.count }
    this.watches.add(watch)
    return watch
  }

  end(watch: Watch): void {
    this.watches.delete(watch)
    if (this.entries.length === 0) return
    const [oldest] = this.watches
    const { begun } = oldest ?? { begun: this.count }
    this.entries = this.entries.filter(({ number }) => number > begun)
  }

  /** Whether the client was to lose its connection and its session meanwhile. */
  isRevoked(watch: Watch, client: Revocable): boolean {
    return this.entries.some(
      ({ number, target }) => number > watch.begun && target.filter === undefined && isOf(target, client),
    )
  }

  /** Whether the client was to lose a subscription with this filter meanwhile. */
  isFilterRevoked(watch: Watch, client: Revocable, filter: string): boolean {
    return this.entries.some(
      ({ number, target }) => number > watch.begun && isOf(target, client) && takesFilter(target, filter),
    )
  }
}

/** Whether a target is about a client. */
export function isOf(target: RevocationTarget, { clientId, username }: Revocable): boolean {
  if (target.clientId !== undefined && target.clientId !== clientId) return false
  return target.username === undefined || target.username === username
}

/** Whether a target is about subscriptions with this filter, as subscribed to. */
export function takesFilter(target: RevocationTarget, filter: string): boolean {
  if (target.filter === undefined) return false
  if (target.filter.startsWith('$share/')) return target.filter === filter
  return covers(target.filter, parseSharedFilter(filter)?.filter ?? filter)
}
