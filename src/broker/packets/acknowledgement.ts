import { AckByte, writeAck } from '../../protocol/acknowledgement'
import type { Frame } from '../../protocol/frame'
import { MqttError, malformed, protocolError } from '../../protocol/mqtt-error'
import { PacketType } from '../../protocol/packet'
import { checkAckProperties } from '../../protocol/publish-properties'
import { ReasonCode } from '../../protocol/reason-code'
import { isReasonCodeOf } from '../../protocol/reason-code-table'
import { readVariableByteInteger, variableByteIntegerLength } from '../../protocol/variable-byte-integer'
import { receivePuback, receivePubcomp, receivePubrec, releaseCommitted } from '../../session/acknowledger'
import { InflightState } from '../../session/inflight'
import { InflightAction } from '../../session/inflight-transitions'
import type { QueueBudget } from '../../session/queue-budget'
import { release } from '../../session/receiver'
import { resendMore } from '../../session/resender'
import type { Session } from '../../session/session'
import type { CommitJournal } from '../commits/commit-journal'
import type { QueueSender } from '../delivery/queue-sender'
import type { StepEvents } from '../hooks/step-events'
import type { Connection } from '../wire/connection'
import { acknowledge } from './answers'

/** PUBACK, PUBREC, PUBREL and PUBCOMP (sections 3.4 to 3.7), read in place. Throws MqttError for what ends the connection. */
export class AcknowledgementReceiver {
  private readonly journal: CommitJournal
  private readonly queues: QueueSender

  private readonly budget: QueueBudget<Session>
  private readonly events: StepEvents
  /** Whether acknowledgements have a listener. */
  private isWatched = false

  constructor(journal: CommitJournal, queues: QueueSender, budget: QueueBudget<Session>, events: StepEvents) {
    this.journal = journal
    this.queues = queues
    this.budget = budget
    this.events = events
  }

  /** Looks once a chunk whether a listener is told of acknowledgements: only then sessions keep what they would not send again. */
  beginChunk(): void {
    this.isWatched = this.budget.keepsInflight = this.events.watchesAcknowledgements
  }

  receive(connection: Connection, bytes: Buffer, frame: Frame): void {
    const { first, body, end } = frame
    const type = first >> 4
    // MQTT 3.1 section 3.6.1: a PUBREL may be marked as a repetition
    const flags = connection.version === 3 ? first & 7 : first & 15
    if (flags !== (type === PacketType.Pubrel ? 2 : 0))
      throw malformed('an acknowledgement with wrong flags [MQTT-2.1.3-1]')
    if (end - body < 2) throw malformed('an acknowledgement without a Packet Identifier')
    const identifier = (bytes[body]! << 8) | bytes[body + 1]!
    if (identifier === 0) throw protocolError('an acknowledgement of Packet Identifier 0 [MQTT-2.2.1-3]')
    const reasonCode = end - body === 2 ? ReasonCode.Success : readReasonCode(connection, type, bytes, body + 2, end)
    const session = connection.session!
    switch (type) {
      case PacketType.Puback:
        if (this.isWatched) this.finishWatched(connection, session, 'PUBACK', identifier)
        else this.finish(connection, session, 'PUBACK', identifier, receivePuback(session, identifier))
        return
      case PacketType.Pubrec:
        this.pubrec(connection, session, identifier, reasonCode)
        return
      case PacketType.Pubrel:
        this.pubrel(connection, session, identifier)
        return
      default:
        if (this.isWatched) this.finishWatched(connection, session, 'PUBCOMP', identifier)
        else this.finish(connection, session, 'PUBCOMP', identifier, receivePubcomp(session, identifier))
    }
  }

  /** The end of an exchange, by what the packet has done. */
  private finish(connection: Connection, session: Session, packet: string, identifier: number, action: number): void {
    if (action === InflightAction.Finished) this.goOn(connection, session)
    else if (action === InflightAction.Violation) throw violation(packet, identifier)
  }

  /** The same, and the application is told. */
  private finishWatched(
    connection: Connection,
    session: Session,
    packet: 'PUBACK' | 'PUBCOMP',
    identifier: number,
  ): void {
    const topic = topicOf(session, identifier)
    const action = packet === 'PUBACK' ? receivePuback(session, identifier) : receivePubcomp(session, identifier)
    if (action === InflightAction.Finished && connection.announced)
      this.events.tell('messageAcknowledged', { topic, packetIdentifier: identifier }, connection.client!)
    this.finish(connection, session, packet, identifier, action)
  }

  /** A place in the window is free. */
  private goOn(connection: Connection, session: Session): void {
    if (session.toResend !== null) resendMore(session, connection.lastSeen)
    if (session.queuedMessages > 0) this.queues.send(session, connection.lastSeen)
    else if (session.journal !== null) this.journal.commitUnattended()
    connection.wakeWaiting()
  }

  private pubrec(connection: Connection, session: Session, identifier: number, reasonCode: number): void {
    switch (receivePubrec(session, identifier, reasonCode)) {
      case InflightAction.SendPubrel:
        writeAck(connection.outbox, AckByte.Pubrel, identifier, ReasonCode.Success)
        return
      case InflightAction.AwaitsCommit:
        this.releaseAfterCommit(connection, session, identifier)
        return
      case InflightAction.Finished:
        this.goOn(connection, session)
        return
      case InflightAction.Violation:
        throw violation('PUBREC', identifier)
      case InflightAction.Unknown:
        // the client has a message that the session does not know: PUBREL ends it, in MQTT 5.0 with the reason
        writeAck(connection.outbox, AckByte.Pubrel, identifier, ReasonCode.PacketIdentifierNotFound)
    }
  }

  /** Sends the PUBREL once the store has kept the PUBREC. */
  private releaseAfterCommit(connection: Connection, session: Session, identifier: number): void {
    connection.afterCommit(this.journal.commit(session, true), (error) => {
      if (error !== undefined) {
        connection.fail(new MqttError('GNATMQ_STORE_FAILED', 'the store did not keep the PUBREC', { cause: error }))
      } else if (releaseCommitted(session, identifier) && session.output !== null)
        // the session may have another connection by now, or none: then its next one sends the PUBREL
        writeAck(session.output, AckByte.Pubrel, identifier, ReasonCode.Success)
    })
  }

  private pubrel(connection: Connection, session: Session, identifier: number): void {
    const held = release(session, identifier)
    const reasonCode = held ? ReasonCode.Success : ReasonCode.PacketIdentifierNotFound
    const { journal } = this
    // released before, over a former connection: that commit may still be open
    const committed = held
      ? journal.commit(session, true)
      : session.journal === null
        ? undefined
        : journal.openCommits()
    acknowledge(connection, AckByte.Pubcomp, identifier, reasonCode, committed)
  }
}

function topicOf({ inflight }: Session, identifier: number): string | undefined {
  if (inflight === null || inflight.state(identifier) === InflightState.Free) return undefined
  return inflight.delivery(identifier)?.message.topic
}

const violation = (packet: string, identifier: number): MqttError =>
  protocolError(`${packet} for Packet Identifier ${identifier}, where another packet is due (section 4.3)`)

/** MQTT 5.0: a Reason Code and perhaps properties stand behind the identifier. */
function readReasonCode(connection: Connection, type: number, bytes: Buffer, at: number, end: number): number {
  if (connection.version !== 5) throw malformed('an acknowledgement with trailing bytes')
  const reasonCode = bytes[at]!
  if (!isReasonCodeOf(type, reasonCode, true)) throw protocolError(`an acknowledgement with Reason Code ${reasonCode}`)
  if (end - at > 1) {
    const length = readVariableByteInteger(bytes, at + 1, end)
    if (length < 0) throw malformed('an acknowledgement with a broken property length')
    const start = at + 1 + variableByteIntegerLength(length)
    if (start + length !== end) throw malformed('an acknowledgement whose properties do not end with it')
    checkAckProperties(bytes, start, end, type)
  }
  return reasonCode
}
