import type { Client } from '../ports/client'
import type { StoredWill } from '../ports/store'
import { createMessage, type Message } from '../protocol/message'
import { decodeMessageProperties, encodeMessageProperties } from '../protocol/message-properties'
import { MqttError } from '../protocol/mqtt-error'
import type { WillPacket } from '../protocol/packet'
import { ReasonCode } from '../protocol/reason-code'
import type { Session } from '../session/session'
import { AbsentClient } from './absent-client'
import type { Core } from './core'
import type { Deadline } from './deadline-wheel'
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
  private readonly wills: Wills

  constructor(wills: Wills, will: Will, dueAt: number) {
    this.wills = wills
    this.will = will
    this.dueAt = dueAt
  }

  due(): void {
    this.wills.release(this.will.session)
  }
}

/** Wills of connections that ended otherwise than they should [MQTT-3.1.2-8]. */
export class Wills {
  private readonly pending = new Map<Session, PendingWill>()
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

  /** The connection ended: publishes the Will now, or when its delay is over. */
  leave(will: Will): void {
    const { session, packet } = will
    const delay = Math.min(packet.willDelayInterval, session.expiryInterval)
    if (delay === 0) {
      this.publish(will)
      return
    }
    const pending = new PendingWill(this, will, this.core.settings.clock.now() + delay * 1000)
    this.pending.set(session, pending)
    this.core.wheel.place(pending)
  }

  /** The client is back: before the delay was over nothing is published [MQTT-3.1.3-9], but what was due already is. */
  resume(session: Session): void {
    const pending = this.pending.get(session)
    if (pending === undefined) return
    if (pending.dueAt <= this.core.settings.clock.now()) this.release(session)
    else this.cancel(session)
  }

  private cancel(session: Session): void {
    const pending = this.pending.get(session)
    if (pending === undefined) return
    this.pending.delete(session)
    this.core.wheel.remove(pending)
  }

  /** The delay is over, or the session ends first. */
  release(session: Session): void {
    const pending = this.pending.get(session)
    if (pending === undefined) return
    this.cancel(session)
    this.publish(pending.will)
  }

  /** A Will that the store has kept: of a connection that a crash ended, or whose delay was not over. */
  restore(session: Session, stored: StoredWill, disconnectedAt: number): void {
    const { clock } = this.core.settings
    const delayMs = Math.min(stored.delayInterval, session.expiryInterval) * 1000
    const passed = disconnectedAt === 0 ? 0 : clock.wallTime() - disconnectedAt
    const will = { packet: willPacket(stored), client: new AbsentClient(session), session }
    const pending = new PendingWill(this, will, clock.now() + Math.max(0, delayMs - passed))
    this.pending.set(session, pending)
    this.core.wheel.place(pending)
  }

  /** Asks again: what was allowed at CONNECT may be forbidden by now. */
  private publish(will: Will): void {
    const { packet, client, session } = will
    // it is on its way: a crash from here on must not bring it again
    this.core.sessions.record(session, this.core.settings.clock.wallTime(), undefined)
    this.gatekeeper.authorizePublish(null, client, this.view(packet), (answer) => {
      if (answer.reasonCode === ReasonCode.Success) {
        void this.core.publisher.publish(this.message(will), session, null)?.catch(() => undefined)
        return
      }
      const error =
        answer.error ?? new MqttError('GNATMQ_NOT_AUTHORIZED', `the Will of ${session.clientId} may not be published`)
      this.core.settings.logger.warn({ err: error, clientId: session.clientId, topic: packet.topic }, error.message)
    })
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
