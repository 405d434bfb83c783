import type { Change, QueueEntry } from '../ports/store'
import { MqttError } from '../protocol/mqtt-error'
import { IdentifierSet } from '../session/identifier-set'
import { InflightState } from '../session/inflight'
import type { Session } from '../session/session'
import type { Core } from './core'
import { causeText } from './gate'
import { entryBytes } from './restorer'

/**
 * A commit was not kept, so what it stood for must not stand in memory either: a held identifier would take the
 * repetition for known, a queued message would come twice. What only forgets is tried again with the next commit.
 */
export function rollBack(core: Core, changes: readonly Change[], cause: unknown): void {
  const { events, journal, sessions, settings } = core
  const text = `the store did not commit: ${causeText(cause)}`
  const error = new MqttError('GNATMQ_STORE_FAILED', text, { cause })
  settings.logger.error({ err: cause, changes: changes.length }, text)
  for (const change of changes) {
    switch (change.type) {
      case 'dequeue':
      case 'end':
      case 'unsubscribe':
      case 'clear':
        journal.add(change)
        break
      case 'enqueue':
      case 'received':
      case 'hold':
      case 'release': {
        const session = sessions.get(change.clientId)
        if (session !== undefined) undo(session, change)
      }
    }
  }
  events.emit('storeError', error)
}

type SessionChange = Extract<Change, { type: 'enqueue' | 'received' | 'hold' | 'release' }>

function undo(session: Session, change: SessionChange): void {
  switch (change.type) {
    case 'hold':
      session.held?.delete(change.packetIdentifier)
      return
    case 'release':
      session.held ??= new IdentifierSet()
      session.held.add(change.packetIdentifier)
      return
    case 'received':
      for (const { identifier, state, delivery } of session.inflight?.inOrder() ?? [])
        if (delivery.position === change.position && state === InflightState.ReleaseCommit)
          session.inflight!.advance(identifier, InflightState.Pubrec)
      return
    case 'enqueue':
      undoEnqueue(session, change.entry)
  }
}

/** What was sent with QoS 1 before its commit stays in flight: its client has it. */
function undoEnqueue(session: Session, entry: QueueEntry): void {
  const { inflight, queue } = session
  if (entry.packetIdentifier !== 0) {
    if (inflight !== null && inflight.state(entry.packetIdentifier) === InflightState.Commit)
      inflight.remove(entry.packetIdentifier)
    return
  }
  if (entry.position > session.lastLoaded) {
    session.addStored(-1, -entryBytes(entry))
    return
  }
  queue?.removeWhere((delivery) => delivery.position === entry.position)
}
