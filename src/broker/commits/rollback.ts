import type { Clock } from '../../ports/clock'
import { causeText } from '../../ports/given-values'
import type { Logger } from '../../ports/logger'
import type { Change, QueueEntry } from '../../ports/store'
import { MqttError } from '../../protocol/mqtt-error'
import type { RetainedMessages } from '../../routing/retained-messages'
import type { Router } from '../../routing/router'
import { IdentifierSet } from '../../session/identifier-set'
import { InflightState } from '../../session/inflight'
import { requeueUncommitted } from '../../session/sender'
import type { Session } from '../../session/session'
import type { CommitJournal } from './commit-journal'
import { entryBytes } from './entry-bytes'
import { RefusedDequeues, type SessionLookup } from './refused-dequeues'
import type { SessionHeads } from './session-heads'

/** Milliseconds until what a failed commit has left is tried again, if nothing else brings it along before. */
const RETRY_MS = 1000

type SessionChange = Extract<Change, { type: 'enqueue' | 'assign' | 'received' | 'hold' | 'release' }>

export interface RollbackParts {
  readonly clock: Clock
  readonly logger: Logger
  readonly journal: CommitJournal
  readonly router: Router<Session>
  readonly retained: RetainedMessages
  readonly sessions: SessionLookup
  readonly heads: SessionHeads
  /** Sends what a session has waiting. */
  readonly resend: (session: Session) => void
  /** Called once a refused commit. */
  readonly refused: (error: MqttError) => void
}

/**
 * A commit was not kept, so what it stood for must not stand in memory either: a held identifier would take the
 * repetition for known, a queued message would come twice. What only forgets is tried again.
 */
export class Rollback {
  private readonly parts: RollbackParts
  /** Sessions with messages that could not be sent because their identifiers were not kept. */
  private readonly stalled = new Set<Session>()
  private readonly dequeues: RefusedDequeues
  private isScheduled = false

  constructor(parts: RollbackParts) {
    this.parts = parts
    this.dequeues = new RefusedDequeues(parts.clock, parts.journal, parts.sessions)
  }

  /** The store is about to be closed: see RefusedDequeues. */
  flush(): void {
    this.dequeues.flush()
  }

  undo(changes: readonly Change[], cause: unknown): void {
    const { journal, logger, refused } = this.parts
    const text = `the store did not commit: ${causeText(cause)}`
    const error = new MqttError('GNATMQ_STORE_FAILED', text, { cause })
    logger.error({ err: cause, changes: changes.length }, text)
    const dequeues = changes.filter((change) => change.type === 'dequeue')
    if (dequeues.length > 0) this.dequeues.add(dequeues)
    for (const change of changes) {
      if (change.type === 'dequeue') continue
      if (this.isStillGone(change)) journal.add(change)
      else this.undoChange(change)
    }
    this.schedule()
    refused(error)
  }

  /** Only what is not back: it must not take away what was kept since. */
  private isStillGone(change: Change): boolean {
    const { retained, router, sessions } = this.parts
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
        this.parts.heads.refuse(change)
        return
      case 'enqueue':
      case 'assign':
      case 'received':
      case 'hold':
      case 'release': {
        const session = this.parts.sessions.get(change.clientId)
        if (session === undefined) return
        if (change.type === 'assign') this.stalled.add(session)
        undoInSession(session, change)
      }
    }
  }

  private schedule(): void {
    if (this.isScheduled) return
    this.isScheduled = true
    this.parts.clock.after(RETRY_MS, () => this.retry())
  }

  private retry(): void {
    const { journal, resend } = this.parts
    this.isScheduled = false
    if (journal.isClosed) return
    const sessions = [...this.stalled]
    this.stalled.clear()
    for (const session of sessions) resend(session)
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
