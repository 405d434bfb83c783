import { AckByte, writeAck } from '../../protocol/acknowledgement'
import { encodeAcknowledgement } from '../../protocol/codec'
import { MqttError } from '../../protocol/mqtt-error'
import { ReasonCode } from '../../protocol/reason-code'
import { type Answer, explanation } from '../hooks/answers'
import type { Connection } from '../wire/connection'

/** Writes an answer that can't be left out. A client that has no room for it can't be served [MQTT-3.1.2-24]. */
export function writeAnswer(connection: Connection, packet: Uint8Array): void {
  if (packet.length <= connection.outbox.maximumPacketSize) connection.outbox.write(packet)
  else connection.fail(answerTooLarge(packet))
}

/** Why a client whose Maximum Packet Size is smaller than an answer is let go. */
export function answerTooLarge(packet: Uint8Array): MqttError {
  const text = `an answer of ${packet.length} bytes is above the client's Maximum Packet Size: allow for it, or ask for less at once`
  return new MqttError('GNATMQ_PACKET_TOO_LARGE', text)
}

/** Writes an acknowledgement once `committed` has settled, in the order of the calls. */
export function acknowledge(
  connection: Connection,
  first: number,
  packetIdentifier: number,
  reasonCode: number,
  committed: Promise<void> | undefined,
): void {
  if (committed === undefined && connection.settled) {
    connection.acknowledgedInChunk += countOf(first, reasonCode)
    writeAck(connection.outbox, first, packetIdentifier, reasonCode)
  } else acknowledgeAfter(connection, first, packetIdentifier, reasonCode, committed)
}

/** A PUBREC leaves its identifier held, and what is held counts already. */
function countOf(first: number, reasonCode: number): number {
  return first === AckByte.Pubrec && reasonCode < 0x80 ? 0 : 1
}

/** Apart from `acknowledge`, which would make room for what the function here captures each time. */
function acknowledgeAfter(
  connection: Connection,
  first: number,
  packetIdentifier: number,
  reasonCode: number,
  committed: Promise<void> | undefined,
): void {
  const counted = countOf(first, reasonCode)
  connection.unacknowledged += counted
  connection.afterCommit(committed, (error) => {
    connection.unacknowledged -= counted
    if (connection.closing) return
    if (error === undefined) writeAck(connection.outbox, first, packetIdentifier, reasonCode)
    else refuseUncommitted(connection, first, packetIdentifier, error)
  })
}

/** Writes a negative acknowledgement, with its explanation if the client has asked for such. */
export function acknowledgeDenial(
  connection: Connection,
  first: number,
  packetIdentifier: number,
  answer: Answer,
): void {
  const { denial, reasonCode } = answer
  const explained = connection.version === 5 && connection.problemInformation && denial !== undefined
  const packet =
    explained && connection.settled
      ? encodeAcknowledgement(first, packetIdentifier, reasonCode, explanation(denial))
      : null
  if (packet === null || packet.length > connection.outbox.maximumPacketSize)
    acknowledge(connection, first, packetIdentifier, reasonCode, undefined)
  else connection.outbox.write(packet)
}

/** Without a commit there is no acknowledgement; in MQTT 5.0 a Reason Code says so. */
function refuseUncommitted(connection: Connection, first: number, packetIdentifier: number, cause: unknown): void {
  // a held identifier would take the next message under it for a repetition
  if (first === AckByte.Pubrec) connection.session?.held?.delete(packetIdentifier)
  const text = 'the store did not keep the message, so it is not acknowledged'
  const error = new MqttError('GNATMQ_STORE_FAILED', text, { cause })
  if (connection.version !== 5 || first === AckByte.Pubcomp) connection.fail(error)
  else writeAck(connection.outbox, first, packetIdentifier, ReasonCode.QuotaExceeded)
}
