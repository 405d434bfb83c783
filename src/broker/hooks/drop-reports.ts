import { type DropReason, dropReasonName } from '../../protocol/drop-reason'
import type { Session } from '../../session/session'
import type { DropWatch, LostMessage } from '../../session/session-drops'
import type { Turn } from '../wire/turn'
import type { StepEvents } from './step-events'

/** Longer topics are not remembered. */
const LONGEST_TOPIC = 256

/** Notes when a session has lost what, and tells the application. */
export class DropReports implements DropWatch<Session> {
  private readonly turn: Turn
  private readonly events: StepEvents

  constructor(turn: Turn, events: StepEvents) {
    this.turn = turn
    this.events = events
  }

  dropped(session: Session, reason: DropReason, messages: number, lost: LostMessage | null): void {
    const { clientId, drops } = session
    const known = lost !== null && 'topic' in lost ? lost.topic : undefined
    drops!.lastAt[reason] = this.turn.slice.second
    drops!.lastTopics[reason] = known === undefined || known.length > LONGEST_TOPIC ? undefined : known
    const { tracer } = this.turn
    const isHeard = this.events.listens('messageDropped')
    if (!isHeard && tracer === null) return
    const topic = known ?? (lost === null ? undefined : topicOf(lost))
    const name = dropReasonName(reason)
    tracer?.dropped(clientId, topic, name, messages)
    if (isHeard) this.events.tell('messageDropped', { clientId, topic, reason: name, messages })
  }
}

function topicOf(lost: LostMessage): string {
  if ('topic' in lost) return lost.topic
  const { buffer, byteOffset } = lost.topicBytes
  return Buffer.from(buffer, byteOffset + lost.topicStart, lost.topicEnd - lost.topicStart).toString()
}
