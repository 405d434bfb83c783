import type { EventEmitter } from 'eventemitter3'
import type { BrokerEvents } from '../../ports/events'
import { encodeUnsuback, type UnsubscribeReader } from '../../protocol/codec'
import { MqttError } from '../../protocol/mqtt-error'
import type { UnsubscribePacket } from '../../protocol/packet'
import { ReasonCode } from '../../protocol/reason-code'
import { topicFilterError } from '../../protocol/topic'
import type { Router } from '../../routing/router'
import type { Session } from '../../session/session'
import type { CommitJournal } from '../commits/commit-journal'
import type { RetainedSender } from '../delivery/retained-sender'
import type { Connection } from '../wire/connection'
import type { BrokerSettings } from '../wire/settings'
import type { Steps } from '../wire/sliced-work'
import type { Turn } from '../wire/turn'
import { writeAnswer } from './answers'

/** Filters that are read between two looks at the clock. */
const PIECE = 32
/** Units of effort of a filter that is checked, and of a subscription that is ended. */
const CHECKED = 4
const ENDED = 32

export interface UnsubscribeParts {
  readonly settings: BrokerSettings
  readonly events: EventEmitter<BrokerEvents>
  readonly router: Router<Session>
  readonly journal: CommitJournal
  readonly retainedSender: RetainedSender
  readonly turn: Turn
}

/** UNSUBSCRIBE (section 3.10). */
export class UnsubscribeReceiver {
  private readonly parts: UnsubscribeParts

  constructor(parts: UnsubscribeParts) {
    this.parts = parts
  }

  unsubscribe(connection: Connection, packet: UnsubscribePacket): void {
    if (connection.version !== 5) for (const filter of packet.filters) this.checkFilter(connection, filter)
    const codes: number[] = []
    for (const filter of packet.filters) codes.push(this.end(connection, filter))
    this.commitEnds(connection, packet, codes, this.parts.journal.commit(connection.session, true))
  }

  /** The same where there are so many filters that others have their turn in between; the last step is returned. Each slice has a commit: an end is not taken back, and what the store has not kept of it is tried again. */
  *steps(connection: Connection, reader: UnsubscribeReader): Steps<() => void> {
    const { journal, turn } = this.parts
    const { packet } = reader
    // all is read before anything is done: a malformed packet changes nothing
    while (reader.readSome(PIECE)) {
      if (turn.slice.isOverAfter(PIECE * CHECKED)) yield undefined
      if (connection.closing) return nothing
    }
    const codes: number[] = []
    const commits: Promise<void>[] = []
    for (const filter of packet.filters) {
      if (connection.version !== 5) this.checkFilter(connection, filter)
      if (turn.slice.isOverAfter(CHECKED)) yield undefined
    }
    for (const filter of packet.filters) {
      if (connection.closing) return nothing
      codes.push(this.end(connection, filter))
      if (!turn.slice.isOverAfter(ENDED)) continue
      const committed = journal.commit(connection.session, true)
      if (committed !== undefined) commits.push(committed)
      yield undefined
    }
    const committed = journal.commit(connection.session, true)
    if (committed !== undefined) commits.push(committed)
    const all = commits.length === 0 ? undefined : Promise.all(commits).then(nothing)
    return () => this.commitEnds(connection, packet, codes, all)
  }

  private commitEnds(
    connection: Connection,
    packet: UnsubscribePacket,
    codes: number[],
    committed: Promise<void> | undefined,
  ): void {
    if (committed === undefined && connection.settled) {
      this.confirm(connection, packet, codes)
    } else this.confirmLater(connection, packet, codes, committed)
  }

  /** Apart from `commitEnds`, which would make room for what the function here captures each time. */
  private confirmLater(
    connection: Connection,
    packet: UnsubscribePacket,
    codes: number[],
    committed: Promise<void> | undefined,
  ): void {
    connection.afterCommit(committed, (error) => {
      if (connection.closing) return
      if (error === undefined) this.confirm(connection, packet, codes)
      else connection.fail(notKept(error))
    })
  }

  /** MQTT 3.1.1 has no way to refuse a filter but to close, and then none of the subscriptions ends. */
  private checkFilter(connection: Connection, filter: string): void {
    const { router, settings } = this.parts
    // its form is checked; one that has fewer characters has no more levels
    if (filter.length < settings.maximumTopicLevels) return
    const error = topicFilterError(filter, settings.maximumTopicLevels)
    if (error !== undefined && router.subscription(connection.session!, filter) === undefined)
      throw new MqttError('GNATMQ_TOPIC_FILTER_INVALID', error)
  }

  /** Ends one subscription; returns its Reason Code. */
  private end(connection: Connection, filter: string): number {
    const { router, journal, retainedSender, settings } = this.parts
    const session = connection.session!
    if (!router.unsubscribe(session, filter)) {
      const error = topicFilterError(filter, settings.maximumTopicLevels)
      return error === undefined ? ReasonCode.NoSubscriptionExisted : ReasonCode.TopicFilterInvalid
    }
    retainedSender.ended(session, filter)
    if (session.journal !== null) journal.unsubscribe(session, filter)
    return ReasonCode.Success
  }

  private confirm(connection: Connection, { packetIdentifier, filters }: UnsubscribePacket, codes: number[]): void {
    const { events } = this.parts
    writeAnswer(connection, encodeUnsuback(connection.version, packetIdentifier, codes))
    if (events.listenerCount('unsubscribed') === 0) return
    filters.forEach((filter, i) => {
      if (codes[i] === ReasonCode.Success) events.emit('unsubscribed', connection.client!, filter)
    })
  }
}

const nothing = (): void => undefined

function notKept(cause: unknown): MqttError {
  return new MqttError('GNATMQ_STORE_FAILED', 'the store did not keep the end of the subscription', { cause })
}
