import type { Client } from '../ports/client'
import type { StoredWill } from '../ports/store'
import { createMessage, type Message } from '../protocol/message'
import { decodeMessageProperties, encodeMessageProperties } from '../protocol/message-properties'
import { MqttError } from '../protocol/mqtt-error'
import type { WillPacket } from '../protocol/packet'
import { ReasonCode } from '../protocol/reason-code'
import { topicNameError } from '../protocol/topic'
import type { Session } from '../session/session'
import { AbsentClient } from './absent-client'
import type { Core } from './core'
import type { Deadline } from './deadline-wheel'
import type { Answer } from './gate'
import type { Gatekeeper } from './gatekeeper'
import { PublishView } from './publish-view'

/** A Will Message and who left it (section 3.1.2.5). */
export interface Will {
  readonly packet: WillPacket
  readonly client: Client
  readonly session: Session
}

/** A Will that waits for its delay (MQTT 5.0 section 3.1.3.2.2). */
class PendingWill implements Deadline {
  slot = -1
  readonly dueAt: number
  readonly will: Will
  /** By the wall clock, as the session has it. */
  readonly disconnectedAt: number
  private readonly wills: Wills

  constructor(wills: Wills, will: Will, dueAt: number, disconnectedAt: number) {
    this.wills = wills
    this.will = will
    this.dueAt = dueAt
    this.disconnectedAt = disconnectedAt
  }

  due(): void {
    this.wills.release(this.will.session)
  }
}

/** A Will that `authorizePublish` is asked about. Its record stays in the store until it is answered. */
interface AskedWill {
  readonly will: Will
  readonly disconnectedAt: number
  /** Its session has ended meanwhile: the store learns of that with the answer too. */
  ended: boolean
  /** Who must not replace the record before. */
  readonly waiting: (() => void)[]
}

/** Wills of connections that ended otherwise than they should [MQTT-3.1.2-8]. */
export class Wills {
  private readonly pending = new Map<Session, PendingWill>()
  /** By Client Identifier: those that the store has a record of. */
  private readonly asked = new Map<string, AskedWill>()
  private readonly core: Core
  private readonly gatekeeper: Gatekeeper

  constructor(core: Core, gatekeeper: Gatekeeper) {
    this.core = core
    this.gatekeeper = gatekeeper
  }

  /** How a Will looks to `authorizePublish`. */
  view(packet: WillPacket): PublishView {
    const { topic, payload, properties, qos, retain } = packet
    const view = new PublishView(createMessage(topic, payload, properties, qos, retain, 0, undefined), null)
    view.topic = topic
    view.will = true
    view.describe((qos << 1) | (retain ? 1 : 0), properties.messageExpiryInterval ?? -1)
    return view
  }

  /** The connection ended, its session goes on: publishes the Will now, or when its delay is over. */
  leave(will: Will, disconnectedAt: number): void {
    const { session, packet } = will
    const delay = Math.min(packet.willDelayInterval, session.expiryInterval)
    if (delay === 0) this.publish(will, disconnectedAt, session.journal !== null, false)
    else this.postpone(will, delay * 1000, disconnectedAt)
  }

  /** The session ended: publishes the Will that it left, or that waits, and tells the store of the end with it. */
  end(session: Session, isStored: boolean, left: Will | null): void {
    const asked = this.asked.get(session.clientId)
    if (asked !== undefined && isStored) asked.ended = true
    const will = left ?? this.take(session)
    if (will !== null) this.publish(will, 0, isStored && asked === undefined, true)
    else if (isStored && asked === undefined) this.core.journal.end(session)
  }

  /** The Will of a stored session whose hook has not answered. */
  openQuestion(clientId: string): WillPacket | undefined {
    return this.asked.get(clientId)?.will.packet
  }

  /** Calls `then` once no hook thinks about a Will that the store keeps for this client; false if none does. */
  afterAnswer(clientId: string, then: () => void): boolean {
    const asked = this.asked.get(clientId)
    asked?.waiting.push(then)
    return asked !== undefined
  }

  private postpone(will: Will, ms: number, disconnectedAt: number): void {
    const pending = new PendingWill(this, will, this.core.settings.clock.now() + ms, disconnectedAt)
    this.pending.set(will.session, pending)
    this.core.wheel.place(pending)
  }

  /** The client is back: before the delay was over nothing is published [MQTT-3.1.3-9], but what was due already is. */
  resume(session: Session): void {
    const pending = this.pending.get(session)
    if (pending === undefined) return
    if (pending.dueAt <= this.core.settings.clock.now()) this.release(session)
    else this.take(session)
  }

  private take(session: Session): Will | null {
    const pending = this.pending.get(session)
    if (pending === undefined) return null
    this.pending.delete(session)
    this.core.wheel.remove(pending)
    return pending.will
  }

  /** The delay is over. */
  release(session: Session): void {
    const pending = this.pending.get(session)
    if (pending === undefined) return
    this.take(session)
    this.publish(pending.will, pending.disconnectedAt, session.journal !== null, false)
  }

  /** A Will that the store has kept: of a connection that a crash ended, or whose delay was not over. */
  restore(session: Session, stored: StoredWill, disconnectedAt: number): void {
    const { clock } = this.core.settings
    const delayMs = Math.min(stored.delayInterval, session.expiryInterval) * 1000
    // a wall clock that was set back does not lengthen the delay
    const passed = disconnectedAt === 0 ? 0 : Math.max(0, clock.wallTime() - disconnectedAt)
    const will = { packet: willPacket(stored), client: new AbsentClient(session), session }
    // 0: a crash ended the connection, and nobody knows when
    this.postpone(will, Math.max(0, delayMs - passed), disconnectedAt === 0 ? clock.wallTime() : disconnectedAt)
  }

  /** Asks again: what was allowed at CONNECT may be forbidden by now. */
  private publish(will: Will, disconnectedAt: number, isStored: boolean, ended: boolean): void {
    const { client, packet, session } = will
    const asked: AskedWill = { will, disconnectedAt, ended, waiting: [] }
    if (isStored) this.asked.set(session.clientId, asked)
    this.gatekeeper.authorizePublish(null, client, this.view(packet), (answer) => {
      if (isStored) this.forget(asked)
      try {
        this.settle(asked, answer)
      } finally {
        for (const then of asked.waiting) then()
      }
    })
  }

  /** Its record goes with the commit that publishes it: a crash before that must bring it again, and one after must not. */
  private forget({ disconnectedAt, ended, will }: AskedWill): void {
    const { session } = will
    this.asked.delete(session.clientId)
    if (ended) this.core.journal.end(session)
    else this.core.sessions.record(session, disconnectedAt, undefined)
  }

  private settle(asked: AskedWill, answer: Answer): void {
    const { journal, publisher, settings } = this.core
    const { packet, session } = asked.will
    const error = this.refusal(asked.will, answer)
    if (error === undefined) {
      const { recordCount } = session
      publisher.publish(this.message(asked.will), session, null)?.catch(() => this.keep(asked, recordCount))
      return
    }
    journal.commitUnattended()
    settings.logger.warn({ err: error, clientId: session.clientId, topic: packet.topic }, error.message)
  }

  private refusal({ packet, session }: Will, { error, reasonCode }: Answer): MqttError | undefined {
    if (reasonCode !== ReasonCode.Success)
      return error ?? new MqttError('GNATMQ_NOT_AUTHORIZED', `the Will of ${session.clientId} may not be published`)
    // a former start may have allowed for more levels
    const text = topicNameError(packet.topic, this.core.settings.maximumTopicLevels)
    return text === undefined ? undefined : new MqttError('GNATMQ_TOPIC_NAME_INVALID', text)
  }

  /** The store refused what somebody absent was to get: as long as the client does not come back, the next start brings it. */
  private keep({ disconnectedAt, ended, will }: AskedWill, recordCount: number): void {
    const { packet, session } = will
    const isLasting = packet.qos > 0 || packet.retain
    if (ended || !isLasting || session.recordCount !== recordCount) return
    this.core.sessions.record(session, disconnectedAt, packet)
    this.core.journal.commitUnattended()
  }

  private message(will: Will): Message {
    const { packet, session } = will
    const interval = packet.properties.messageExpiryInterval
    const expiresAt = interval === undefined ? 0 : this.core.settings.clock.now() + interval * 1000
    return createMessage(
      packet.topic,
      packet.payload,
      packet.properties,
      packet.qos,
      packet.retain,
      expiresAt,
      session.clientId,
    )
  }
}

/** What a store keeps of a Will. Its expiry counts from the day it is published, so it stays with the interval. */
export function storedWill(will: WillPacket): StoredWill {
  const properties = encodeMessageProperties(will.properties)
  return {
    message: {
      topic: will.topic,
      payload: will.payload,
      qos: will.qos,
      properties: properties.length === 0 ? undefined : properties,
      expiresAt: undefined,
    },
    retain: will.retain,
    delayInterval: will.willDelayInterval,
    messageExpiryInterval: will.properties.messageExpiryInterval,
  }
}

function willPacket(stored: StoredWill): WillPacket {
  const { topic, payload, qos, properties } = stored.message
  const decoded = properties === undefined ? {} : decodeMessageProperties(properties, 0, properties.length)
  if (stored.messageExpiryInterval !== undefined) decoded.messageExpiryInterval = stored.messageExpiryInterval
  return { topic, payload, qos, retain: stored.retain, willDelayInterval: stored.delayInterval, properties: decoded }
}
