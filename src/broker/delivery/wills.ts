import type { Budget } from '../../memory/memory-budget'
import { willCost } from '../../memory/session-cost'
import type { Client } from '../../ports/client'
import type { Clock } from '../../ports/clock'
import { isPromise } from '../../ports/given-values'
import type { Logger } from '../../ports/logger'
import type { StoredWill } from '../../ports/store'
import { createMessage, type Message } from '../../protocol/message'
import { MqttError } from '../../protocol/mqtt-error'
import type { WillPacket } from '../../protocol/packet'
import { isSystemTopic, topicNameError } from '../../protocol/topic'
import type { Session } from '../../session/session'
import type { CommitJournal } from '../commits/commit-journal'
import { AbsentClient } from '../hooks/absent-client'
import { type Answer, isAllowed, refusalOf } from '../hooks/answers'
import type { Authorization } from '../hooks/authorization'
import { willView } from '../hooks/publish-view'
import type { SessionHeads } from '../sessions/heads'
import { willPacket } from '../sessions/stored-will'
import type { Deadline, DeadlineWheel } from '../wire/deadline-wheel'
import type { RevocationLog } from './revocation-log'

/** A Will Message and the client that left it (section 3.1.2.5). */
export interface Will {
  readonly packet: WillPacket
  readonly client: Client
  readonly session: Session
}

/** A Will that waits for its delay (MQTT 5.0 section 3.1.3.2.2). */
class DelayedWill implements Deadline {
  slot = -1
  readonly dueAt: number
  readonly will: Will
  /** Wall time, as the head of the session has it. */
  readonly disconnectedAt: number
  private readonly wills: Wills

  constructor(wills: Wills, will: Will, dueAt: number, disconnectedAt: number) {
    this.wills = wills
    this.will = will
    this.dueAt = dueAt
    this.disconnectedAt = disconnectedAt
  }

  due(): void {
    this.wills.publishDelayed(this.will.session)
  }
}

/** A Will that `authorizePublish` is asked about. Its record stays in the store until the answer. */
interface AskedWill {
  readonly will: Will
  /** Wall time. */
  readonly disconnectedAt: number
  /** Its session has ended meanwhile: the end goes to the store with the answer too. */
  ended: boolean
  /** It was settled without the answer, which comes too late. */
  isOver: boolean
  /** Called after the answer: what must not replace the record before. */
  readonly waiting: (() => void)[]
}

export interface WillParts {
  readonly clock: Clock
  readonly logger: Logger
  readonly wheel: DeadlineWheel
  readonly journal: CommitJournal
  readonly heads: SessionHeads
  readonly authorization: Authorization
  readonly revocationLog: RevocationLog
  readonly maximumTopicLevels: number
  /** What sessions and Wills may have of the memory. */
  readonly budget: Budget
  /** Delivers the message, makes the changes of `keep` with it, and commits. */
  readonly publish: (message: Message, from: Session, keep: () => void) => Promise<void> | undefined
}

/** Publishes the Wills of connections that ended otherwise than by DISCONNECT [MQTT-3.1.2-8]. */
export class Wills {
  private readonly delayed = new Map<Session, DelayedWill>()
  /** By Client Identifier: those that the store has a record of. */
  private readonly asked = new Map<string, AskedWill>()
  private readonly parts: WillParts

  constructor(parts: WillParts) {
    this.parts = parts
  }

  /** The connection ended and its session goes on: publishes the Will now, or when its delay is over. */
  leave(will: Will, disconnectedAt: number): void {
    const { session, packet } = will
    const delay = Math.min(packet.willDelayInterval, session.expiryInterval)
    if (delay === 0) this.ask(will, disconnectedAt, session.journal !== null, false)
    else this.postpone(will, delay * 1000, disconnectedAt)
  }

  /**
   * The session ended: publishes the Will that its connection left, or the one that waits. The end of a stored session goes
   * to the store with the Will. The commit is left to the caller where there is none.
   */
  end(session: Session, isStored: boolean, left: Will | null): void {
    const asked = this.asked.get(session.clientId)
    if (asked !== undefined && isStored) asked.ended = true
    const will = left ?? this.takeDelayed(session)
    if (will !== null) this.ask(will, 0, isStored && asked === undefined, true)
    else if (isStored && asked === undefined) this.parts.journal.end(session)
  }

  /** Settles once no hook is asked about a Will that the store keeps for this client; undefined if none is. */
  answered(clientId: string): Promise<void> | undefined {
    const asked = this.asked.get(clientId)
    return asked === undefined ? undefined : new Promise((resolve) => asked.waiting.push(resolve))
  }

  /** The client is back. Before the delay is over nothing is published [MQTT-3.1.3-9]; a Will that was due already is. */
  resume(session: Session): void {
    const delayed = this.delayed.get(session)
    if (delayed === undefined) return
    if (delayed.dueAt <= this.parts.clock.now()) this.publishDelayed(session)
    else this.takeDelayed(session)
  }

  /** The delay is over. */
  publishDelayed(session: Session): void {
    const delayed = this.delayed.get(session)
    if (delayed === undefined) return
    this.takeDelayed(session)
    this.ask(delayed.will, delayed.disconnectedAt, session.journal !== null, false)
  }

  /** A Will from the store: of a connection that a crash ended, or whose delay was not over. `disconnectedAt` is wall time. */
  restore(session: Session, stored: StoredWill, disconnectedAt: number): void {
    const { clock } = this.parts
    const delayMs = Math.min(stored.delayInterval, session.expiryInterval) * 1000
    // a wall clock that was set back does not lengthen the delay
    const passed = disconnectedAt === 0 ? 0 : Math.max(0, clock.wallTime() - disconnectedAt)
    const will = { packet: willPacket(stored), client: new AbsentClient(session), session }
    // 0: a crash ended the connection at an unknown time
    this.postpone(will, Math.max(0, delayMs - passed), disconnectedAt === 0 ? clock.wallTime() : disconnectedAt)
  }

  /** The Will that a session has left, and that waits for its delay; `dueAt` is by `clock.now()`. */
  waiting(session: Session): { readonly dueAt: number; readonly will: Will } | undefined {
    return this.delayed.get(session)
  }

  private postpone(will: Will, ms: number, disconnectedAt: number): void {
    const { clock, wheel } = this.parts
    const delayed = new DelayedWill(this, will, clock.now() + ms, disconnectedAt)
    this.delayed.set(will.session, delayed)
    this.parts.budget.add(willCost(will.packet))
    wheel.place(delayed)
  }

  private takeDelayed(session: Session): Will | null {
    const delayed = this.delayed.get(session)
    if (delayed === undefined) return null
    this.delayed.delete(session)
    this.parts.wheel.remove(delayed)
    this.parts.budget.add(-willCost(delayed.will.packet))
    return delayed.will
  }

  /** Asks again: what was allowed at CONNECT may be forbidden by now. */
  private ask(will: Will, disconnectedAt: number, isStored: boolean, ended: boolean): void {
    const { authorization, budget, heads } = this.parts
    const { clientId } = will.session
    const asked: AskedWill = { will, disconnectedAt, ended, isOver: false, waiting: [] }
    if (isStored) {
      this.asked.set(clientId, asked)
      heads.holdWill(clientId, will.packet)
    }
    const answer = authorization.publish(will.client, willView(will.packet))
    if (!isPromise<Answer>(answer)) {
      this.answer(asked, answer, isStored)
      return
    }
    const cost = willCost(will.packet)
    budget.add(cost)
    const { revocationLog } = this.parts
    const watch = revocationLog.begin()
    answer.then((later) => {
      budget.add(-cost)
      const isRevoked = revocationLog.isRevoked(watch, will.client)
      revocationLog.end(watch)
      this.answer(asked, isRevoked ? revoked() : later, isStored)
    })
  }

  /** What the client of a session has left behind is not published. */
  discard(session: Session): void {
    this.takeDelayed(session)
    const asked = this.asked.get(session.clientId)
    if (asked !== undefined) this.answer(asked, revoked(), true)
  }

  private answer(asked: AskedWill, answer: Answer, isStored: boolean): void {
    if (asked.isOver) return
    asked.isOver = true
    try {
      this.publish(asked, answer, isStored)
    } catch (err) {
      this.parts.logger.error({ err }, 'unexpected error')
      goOn(asked)
    }
  }

  /** The record goes with the commit that publishes the Will: a crash before that must bring it again, one after must not. */
  private removeRecord({ disconnectedAt, ended, will }: AskedWill): void {
    const { heads, journal } = this.parts
    const { session } = will
    this.asked.delete(session.clientId)
    heads.releaseWill(session.clientId)
    if (ended) journal.end(session)
    else heads.record(session, disconnectedAt, undefined)
  }

  private publish(asked: AskedWill, answer: Answer, isStored: boolean): void {
    const { journal, logger, publish } = this.parts
    const { packet, session } = asked.will
    const error = this.refusal(asked.will, answer)
    let { recordCount } = session
    const keep = (): void => {
      if (isStored) this.removeRecord(asked)
      recordCount = session.recordCount
      goOn(asked)
    }
    if (error === undefined) {
      publish(this.message(asked.will), session, keep)?.catch(() => this.keepRecord(asked, recordCount))
      return
    }
    keep()
    journal.commitUnattended()
    logger.warn({ err: error, clientId: session.clientId, topic: packet.topic }, error.message)
  }

  private refusal({ packet, session }: Will, answer: Answer): MqttError | undefined {
    if (!isAllowed(answer)) {
      const text = `the Will of ${session.clientId} may not be published`
      return answer.error ?? new MqttError('GNATMQ_NOT_AUTHORIZED', text)
    }
    // a former start may have allowed for it, and for more levels
    if (isSystemTopic(packet.topic))
      return new MqttError('GNATMQ_NOT_AUTHORIZED', `the Will of ${session.clientId} is below $SYS`)
    const text = topicNameError(packet.topic, this.parts.maximumTopicLevels)
    return text === undefined ? undefined : new MqttError('GNATMQ_TOPIC_NAME_INVALID', text)
  }

  /** The store refused a Will for absent sessions: unless the client comes back, the next start publishes it. */
  private keepRecord({ disconnectedAt, ended, will }: AskedWill, recordCount: number): void {
    const { packet, session } = will
    const isLasting = packet.qos > 0 || packet.retain
    if (ended || !isLasting || session.recordCount !== recordCount) return
    this.parts.heads.record(session, disconnectedAt, packet)
    this.parts.journal.commitUnattended()
  }

  private message({ packet, session }: Will): Message {
    const { topic, payload, properties, qos, retain } = packet
    const interval = properties.messageExpiryInterval
    const expiresAt = interval === undefined ? 0 : this.parts.clock.now() + interval * 1000
    return createMessage(topic, payload, properties, qos, retain, expiresAt, session.clientId)
  }
}

const revoked = (): Answer =>
  refusalOf(new MqttError('GNATMQ_REVOKED', 'the Will of a client that was revoked is not published'))

/** What was not to replace the record before may do so now: none of it runs in this very call. */
function goOn({ waiting }: AskedWill): void {
  for (const then of waiting.splice(0)) then()
}
