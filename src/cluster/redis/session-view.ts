import type { Claim } from '../../ports/cluster'
import type { StoredSessionState, StoredSubscription } from '../../ports/store'
import { decodeSession, decodeSubscription } from './records'
import { bytesOf, listOf, numberOf, pairsOf, type Reply, textOf } from './reply'

/** What the hash of a session says: the answer of the scripts that show one. */
export interface SessionView {
  readonly epoch: number
  /** home, its epoch, holder, its epoch, next node, its epoch; 0 where there is none. */
  readonly places: readonly number[]
  readonly state: StoredSessionState | undefined
  /** Whether the bytes of its queue are not counted, because memory was missing at a time. */
  readonly isUncounted: boolean
}

export function readView(clientId: string, reply: Reply): SessionView {
  const [epoch, length, fields] = listOf(reply)
  const subscriptions: StoredSubscription[] = []
  let head: Buffer | undefined
  let places = ''
  let lastPosition = 0
  let bytes: number | undefined
  for (const [name, value] of pairsOf(fields)) {
    const field = textOf(name)
    if (field === 'R') places = textOf(value)
    else if (field === 'H') head = bytesOf(value)
    else if (field === 'p') lastPosition = numberOf(value)
    else if (field === 'b') bytes = numberOf(value)
    else if (field.startsWith('S')) subscriptions.push(decodeSubscription(field.slice(1), bytesOf(value)))
  }
  const queuedMessages = numberOf(length)
  const session = head === undefined ? undefined : decodeSession(clientId, head)
  // what is left of the count where the queue is empty is not of it
  const queuedBytes = queuedMessages === 0 ? 0 : Math.max(bytes ?? 0, 0)
  return {
    epoch: numberOf(epoch),
    places: places.split(' ').map(Number),
    state: session === undefined ? undefined : { session, subscriptions, queuedMessages, queuedBytes, lastPosition },
    isUncounted: bytes === undefined && queuedMessages > 0,
  }
}

/** What a node is told of a session that it has a place in. */
export function claimOf(node: number, { epoch, places, state }: SessionView): Claim {
  const [, homeEpoch, holder, holderEpoch, next] = places
  const isHeld = holder === node && holderEpoch === epoch
  return { epoch, heldBy: isHeld ? undefined : holder, isClaimed: homeEpoch !== epoch || next !== 0, state }
}
