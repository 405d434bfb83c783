import { copyMessage, type Message } from '../../protocol/message'
import { Dialect } from '../../protocol/output'
import type { QoS } from '../../protocol/packet'
import type { PublishPacket } from '../../protocol/publish-packet'
import type { PublishSource } from '../../protocol/publish-source'
import type { Route } from '../../routing/route'
import type { Session } from '../../session/session'
import type { AwaitingCommit } from './awaiting-commit'

/** One message on its way to the receivers on its route, and what follows from that. One object serves for many messages. */
export class Publication {
  /** Null where messages are given to another member of a shared group, whatever they were published to. */
  route: Route<Session> | null = null
  /** The message in the read buffer; null where it only exists as `message`. */
  packet: PublishPacket | null = null
  /** The message that lasts; null until it is needed. */
  message: Message | null = null
  qos: QoS = 0
  publisher: Session | null = null
  /** The dialect of the publisher: receivers that have the same may get the packet as it lies. */
  dialect: number = Dialect.V3
  awaiting: AwaitingCommit[] = []
  /** Receivers of QoS 1 and 2 that took the message on, and those that had no room. */
  taken = 0
  full = 0
  /** Sessions whose queue was full, where the policy is to end the connection. */
  readonly overflowing = new Set<Session>()
  /** Sessions whose next message lies in the store alone. */
  readonly starving = new Set<Session>()

  /** Begins with another message. */
  begin(
    route: Route<Session> | null,
    packet: PublishPacket | null,
    message: Message | null,
    publisher: Session | null,
    dialect: number,
  ): void {
    this.route = route
    this.packet = packet
    this.message = message
    this.qos = message !== null ? message.qos : packet !== null ? packet.qos : 0
    this.publisher = publisher
    this.dialect = dialect
    this.taken = this.full = 0
  }

  /** Lets go of the message. */
  end(): void {
    this.message = null
    this.publisher = null
  }

  /** What PUBLISH packets are written from. */
  get source(): PublishSource {
    return this.message ?? this.packet!
  }

  /** The message that lasts. What is retained, or expires, comes with it. */
  lasting(): Message {
    if (this.message === null) {
      const { topic, topicBytes } = this.route!
      this.message = copyMessage(this.packet!, topic, topicBytes, this.qos, false, 0, this.publisher?.clientId)
    }
    return this.message
  }

  /** Leaves to `outer` what must not happen before its message is with every receiver. */
  leaveTo(outer: Publication): void {
    if (outer === this) return
    for (const session of this.overflowing) outer.overflowing.add(session)
    for (const session of this.starving) outer.starving.add(session)
    this.overflowing.clear()
    this.starving.clear()
  }
}
