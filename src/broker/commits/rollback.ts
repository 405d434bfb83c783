import { causeText } from '../../ports/given-values'
import type { Change, QueueEntry } from '../../ports/store'
import { MqttError } from '../../protocol/mqtt-error'
import { IdentifierSet } from '../../session/identifier-set'
import { InflightState } from '../../session/inflight'
import { requeueUncommitted } from '../../session/sender'
import type { Session } from '../../session/session'
import type { Core } from '../core'
import { entryBytes } from '../sessions/stored-queue'
import { RefusedDequeues } from './refused-dequeues'

/** Milliseconds until what a failed commit has left is tried again, if nothing else brings it along before. */
const RETRY_MS = 1000

type SessionChange = Extract<Change, { type: 'enqueue' | 'assign' | 'received' | 'hold' | 'release' }>

/**
 * A commit was not kept, so what it stood for must not stand in memory either: a held identifier would take the
 * repetition for known, a queued message would come twice. What only forgets is tried again.
 */
export class Rollback {
  private readonly core: Core
  /** Sessions with messages that could not be sent because their identifiers were not kept. */
  private readonly stalled = new Set<Session>()
  private readonly dequeues: RefusedDequeues
  private isScheduled = false

  constructor(core: Core) {
    this.core = core
    this.dequeues = new RefusedDequeues(core)
  }

  /** The store is about to be closed: see RefusedDequeues. */
  flush(): void {
    this.dequeues.flush()
  }

  undo(changes: readonly Change[], cause: unknown): void {
    const { events, journal, settings } = this.core
    const text = `the store did not commit: ${causeText(cause)}`
    const error = new MqttError('GNATMQ_STORE_FAILED', text, { cause })
    settings.logger.error({ err: cause, changes: changes.length }, text)
    const dequeues = changes.filter((change) => change.type === 'dequeue')
    if (dequeues.length > 0) this.dequeues.add(dequeues)
    for (const change of changes) {
      if (change.type === 'dequeue') continue
      if (this.isStillGone(change)) journal.add(change)
      else this.undoChange(change)
    }
    this.schedule()
    events.emit('storeError', error)
  }

  /** Only what is not back: it must not take away what was kept since. */
  private isStillGone(change: Change): boolean {
    const { retained, router, sessions } = this.core
    switch (change.type) {
      case 'end':
        return sessions.get(change.clientId) === undefined
      case 'clear':
        return retained.get(change.topic) === undefined
      case 'unsubscribe': {
        const session = sessions.get(change.clientId)
        return session !== undefined && router.subscription(session, change.filter) === undefined
      }
      default:
        return false
    }
  }

  private undoChange(change: Change): void {
    switch (change.type) {
      case 'session':
        this.core.heads.refuse(change)
        return
      case 'enqueue':
      case 'assign':
      case 'received':
      case 'hold':
      case 'release': {
        const session = this.core.sessions.get(change.clientId)
        if (session === undefined) return
        if (change.type === 'assign') this.stalled.add(session)
        undoInSession(session, change)
      }
    }
  }

  private schedule(): void {
    if (this.isScheduled) return
    this.isScheduled = true
    this.core.settings.clock.after(RETRY_MS, () => this.retry())
  }

  private retry(): void {
    const { journal, publisher } = this.core
    this.isScheduled = false
    if (journal.isClosed) return
    const sessions = [...this.stalled]
    this.stalled.clear()
    for (const session of sessions) publisher.sendQueued(session)
    journal.commitUnattended()
  }
}

function undoInSession(session: Session, change: SessionChange): void {
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
    case 'assign':
      requeueUncommitted(session)
      return
    case 'enqueue':
      undoEnqueue(session, change.entry)
  }
}

/** What was sent with QoS 1 before its commit stays in flight: its client has it. */
function undoEnqueue(session: Session, entry: QueueEntry): void {
  const { inflight, queue } = session
  if (entry.packetIdentifier === 0 && entry.position > session.lastLoaded) {
    // it may have expired meanwhile, and was counted off then
    const expires = entry.message.expiresAt !== undefined
    if (expires && session.storedExpiries?.deadlineOf(entry.position) === undefined) return
    session.leaveStore(entry.position, entryBytes(entry))
    session.storedExpiries?.remove(entry.position)
    return
  }
  if (queue !== null && queue.removeWhere(({ position }) => position === entry.position).length > 0) return
  for (const { identifier, state, delivery } of inflight?.inOrder() ?? [])
    if (delivery.position === entry.position && state === InflightState.Commit) inflight!.remove(identifier)
}
