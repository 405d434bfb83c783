import type { Change, StoredMessage } from '../../ports/store'
import type { SessionExists } from './commit-group'

/** Roughly how much a commit adds. One that only takes away adds nothing, and neither does a client that comes back. */
export function growthOf(changes: readonly Change[], exists: SessionExists): number {
  let bytes = 0
  let last: StoredMessage | undefined
  for (const change of changes) {
    if (change.type === 'session') {
      const { clientId, will } = change.session
      bytes += (exists(clientId) ? 0 : 256) + (will?.message.payload.length ?? 0)
    } else if (change.type === 'subscribe') bytes += 64 + 2 * change.subscription.filter.length
    else if (change.type === 'enqueue' || change.type === 'retain') {
      const message = change.type === 'enqueue' ? change.entry.message : change.message
      bytes += 96
      if (message !== last) bytes += 64 + message.topic.length + message.payload.length
      last = message
    }
  }
  return bytes
}

/** True when a commit makes a row that is not there. */
export function isAdding(changes: readonly Change[], exists: SessionExists): boolean {
  return growthOf(changes, exists) > 0 || changes.some(({ type }) => type === 'hold')
}
