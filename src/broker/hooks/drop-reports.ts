import { type DropReason, dropReasonName } from '../../protocol/drop-reason'
import type { Session } from '../../session/session'
import type { DropWatch, LostMessage } from '../../session/session-drops'
import type { Slice } from '../wire/slice'
import type { StepEvents } from './step-events'

/** Longer topics are not remembered. */
const LONGEST_TOPIC = 256

/** Notes when a session has lost what, and tells the application. */
export class DropReports implements DropWatch<Session> {
  private readonly slice: Slice
  private readonly events: StepEvents

  constructor(slice: Slice, events: StepEvents) {
    this.slice = slice
    this.events = events
  }

  dropped(session: Session, reason: DropReason, messages: number, lost: LostMessage | null): void {
    const { clientId, drops } = session
    const known = lost !== null && 'topic' in lost ? lost.topic : undefined
    drops!.lastAt[reason] = this.slice.second
    drops!.lastTopics[reason] = known === undefined || known.length > LONGEST_TOPIC ? undefined : known
    if (!this.events.listens('messageDropped')) return
    const topic = known ?? (lost === null ? undefined : topicOf(lost))
    this.events.tell('messageDropped', { clientId, topic, reason: dropReasonName(reason), messages })
  }
}

function topicOf(lost: LostMessage): string {
  if ('topic' in lost) return lost.topic
  const { buffer, byteOffset } = lost.topicBytes
  return Buffer.from(buffer, byteOffset + lost.topicStart, lost.topicEnd - lost.topicStart).toString()
}
