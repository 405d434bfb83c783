import type { ClientDisconnectOptions } from '../../ports/client'
import type { DisconnectReason } from '../../ports/events'
import { causeText } from '../../ports/given-values'
import type { Channel } from '../../ports/listener'
import { encodeDisconnectWithin } from '../../protocol/codec'
import { type Frame, FrameStatus, frameError, isOversized, QOS_MASK, readFrame } from '../../protocol/frame'
import { MqttError, protocolError } from '../../protocol/mqtt-error'
import { PacketType, type ProtocolVersion, type WillPacket } from '../../protocol/packet'
import { checkPromisedProperties } from '../../protocol/promised-properties'
import { readPublish } from '../../protocol/publish-packet'
import { ReasonCode } from '../../protocol/reason-code'
import type { Route } from '../../routing/route'
import type { IncomingAliases } from '../../session/incoming-aliases'
import type { Session } from '../../session/session'
import { AnswerQueue } from './answer-queue'
import type { ClientHandle } from './client-handle'
import type { ConnectionContext } from './connection-context'
import { ConnectionDeadline } from './connection-deadline'
import { Phase, type PhaseEvent, packetTable, phaseError, phaseTable } from './connection-phase'
import { Intake } from './intake'
import { Outbox, type OutboxOwner } from './outbox'
import { Patient, Reading } from './patient'
import { bytesToLook, LOOK, LOOK_BYTES } from './slice'
import { StreamEnd } from './stream-end'

/** How long after CONNACK a client still counts as new, in milliseconds: its first subscriptions are part of its connecting. */
const ESTABLISHED_MS = 1000
/** What a client may send while it is listened to only for its Keep Alive, in bytes. */
const LISTEN_BYTES = 64 * 1024

/** One network connection (section 4.2): bytes in, packets to their handler, bytes out. */
export class Connection extends Patient implements OutboxOwner {
  readonly channel: Channel
  readonly outbox: Outbox
  readonly deadline: ConnectionDeadline
  readonly end: StreamEnd
  readonly intake: Intake
  version: ProtocolVersion = 4
  session: Session | null = null
  client: ClientHandle | null = null
  /** Published when the connection ends otherwise than by a DISCONNECT with Reason Code 0. */
  will: WillPacket | null = null
  /** The route of the last PUBLISH: the next one often takes the same. */
  lastRoute: Route<Session> | null = null
  /** MQTT 5.0: topics by the alias that the client gave them. */
  incomingAliases: IncomingAliases | null = null
  /** MQTT 5.0: whether Reason Strings may be sent with anything but CONNACK and DISCONNECT (section 3.1.2.11.7). */
  problemInformation = true
  /** True between `clientConnected` and `clientDisconnected`. */
  announced = false
  /** QoS 1 and 2 messages received and not yet acknowledged, because a commit or a hook is open. */
  unacknowledged = 0
  /** Acknowledgements written during this chunk, which the client can't have seen yet. */
  acknowledgedInChunk = 0
  /** Called once, when the client has taken something and nothing is left in its queue. */
  onTaken: (() => void) | null = null
  /** `clock.now()` when bytes came last. */
  lastSeen: number
  /** True while the client is not read from because it does not read. */
  throttled = false
  /** `clock.now()` from which the client counts as established. */
  private establishedAt = Number.POSITIVE_INFINITY
  private maximumPacketSize: number
  private phase: Phase = Phase.AwaitingConnect
  private answers: AnswerQueue | null = null
  private reading: Reading = Reading.Usual
  private closeListeners: (() => void)[] | null = null
  private readonly context: ConnectionContext<Connection>

  constructor(context: ConnectionContext<Connection>, channel: Channel) {
    super(context.turn)
    this.context = context
    this.channel = channel
    this.outbox = new Outbox(channel.stream, channel.releasesWrites, context.turn, context.outbox, this)
    this.intake = new Intake(context.turn.pool)
    this.maximumPacketSize = context.maximumConnectPacketSize
    this.lastSeen = channel.acceptedAt
    this.deadline = new ConnectionDeadline(this, context, channel.acceptedAt)
    this.end = new StreamEnd(this, context.clock)
    channel.read((bytes, length, isLasting) => this.receive(bytes, length, isLasting === true))
    this.end.watch()
  }

  get open(): boolean {
    return this.phase === Phase.Open
  }

  get closing(): boolean {
    return this.phase >= Phase.Closing
  }

  protected pause(): void {
    this.channel.pause()
  }

  protected pauseWithMore(): void {
    this.reading = Reading.UntilMore
  }

  protected resumed(): void {
    this.reading = Reading.Usual
    this.lastSeen = this.context.clock.now()
    this.turn.slice.begin(this.lastSeen)
  }

  protected goOn(): void {
    this.intake.resume(this)
    if (this.waits || this.closing) return
    if (this.end.reached) this.end.goOn()
    else this.channel.resume()
  }

  /** The CONNECT was accepted: from now on the client's own limits hold. `isImposed`: it asked for no Keep Alive, and knows of none. */
  begin(session: Session, keepAliveSeconds: number, isImposed: boolean): void {
    this.session = session
    this.advance('accept')
    this.maximumPacketSize = this.context.maximumPacketSize
    this.lastSeen = this.context.clock.now()
    this.establishedAt = this.lastSeen + ESTABLISHED_MS
    this.deadline.awaitPackets(keepAliveSeconds, isImposed)
    if (this.end.lost) session.detach()
  }

  private advance(event: PhaseEvent): void {
    const next = phaseTable[this.phase][event]
    if (next === null) throw new Error(`a connection in phase ${this.phase} has no event ${event}`)
    this.phase = next
  }

  private receive(bytes: Buffer, length: number, isLasting: boolean): void {
    if (this.closing) return
    const { clock, turn } = this.context
    // a long packet over a slow line is a sign of life before it is whole
    this.lastSeen = clock.now()
    turn.counters.receivedBytes += length
    // an in-process peer may answer from within a hook, while another connection's packets are walked
    if (turn.walking || this.postponed || this.isHeavy) {
      this.intake.hold(this, bytes, length, isLasting)
      this.postpone()
    } else {
      turn.slice.begin(this.lastSeen)
      this.intake.receive(this, bytes, length, isLasting)
    }
    if (this.reading !== Reading.Usual) this.readAhead()
  }

  /** Pauses the channel once there is no more to be read for now. */
  private readAhead(): void {
    if (this.reading === Reading.UntilMore ? this.intake.length === 0 : !this.unheard) return
    if (this.reading === Reading.UntilMore) this.reading = Reading.Usual
    this.channel.pause()
  }

  /** Walks whole packets in `bytes[at, limit)` and returns the offset of the first one that is not whole. */
  walk(bytes: Buffer, at: number, limit: number, stable: boolean): number {
    const { packets, turn } = this.context
    const { frame, marked, packet, slice } = turn
    const tracer = turn.tracer?.follows(this) === true ? turn.tracer : null
    const { measured, received } = turn.counters
    const { effort } = slice
    this.acknowledgedInChunk = 0
    packets.beginChunk()
    turn.chunk = bytes
    turn.chunkStable = stable
    turn.walking = true
    let atMostOnce = 0
    let lookAt = at + LOOK_BYTES
    if (this.lastSeen > this.establishedAt) turn.chunks++
    try {
      while (at < limit && this.parkCount === 0 && !this.closing) {
        if (this.phase !== Phase.Open) this.checkPhase(bytes[at]!)
        const status = readFrame(frame, bytes, at, limit, this.maximumPacketSize, this.version === 5)
        if (status !== FrameStatus.Whole) {
          this.checkPartial(status, frame, bytes, limit)
          break
        }
        at = frame.end
        if (tracer !== null) tracer.received(this, bytes, frame.start, at)
        const { first } = frame
        if (first >> 4 === PacketType.Publish) {
          // refuses QoS 3, which has no count
          readPublish(packet, bytes, frame, this.version, stable)
          if ((first & QOS_MASK) === 0) atMostOnce++
          else received[(first >> 1) & 3]!++
          if (measured !== null) measured.sizes.observe(at - frame.start)
          packets.publish(this, packet)
        } else this.receiveOther(bytes, frame)
        if ((at >= lookAt || effort.units >= LOOK) && at < limit) {
          if (slice.look()) {
            this.interrupt(marked)
            break
          }
          lookAt = at + bytesToLook(frame.end - frame.start)
        }
      }
    } catch (error) {
      this.fail(error)
    } finally {
      // the chunk is about to be overwritten, and other connections wait for their turn
      received[0]! += atMostOnce
      turn.settleRuns()
      turn.walking = false
    }
    return at
  }

  /** How long the packet at `bytes[at]` will be: 0 while that is not known, -1 if the connection has failed. */
  packetLength(bytes: Buffer, at: number, limit: number): number {
    const { frame } = this.context.turn
    const status = readFrame(frame, bytes, at, limit, this.maximumPacketSize, this.version === 5)
    if (status === FrameStatus.Whole) return frame.end - at
    try {
      this.checkPartial(status, frame, bytes, limit)
    } catch (error) {
      this.fail(error)
      return -1
    }
    return frame.end === 0 ? 0 : frame.end - at
  }

  /** Looked at before the packet is whole: a peer that does not send MQTT is not waited for. */
  private checkPhase(first: number): void {
    if (!packetTable[this.phase].includes(first >> 4)) throw protocolError(phaseError(this.phase, first >> 4))
  }

  /** Throws where the packet that begins in the chunk may never be whole. */
  private checkPartial(status: number, frame: Frame, bytes: Buffer, limit: number): void {
    const { start, end, first } = frame
    if (status !== FrameStatus.Partial) throw frameError(status, this.maximumPacketSize)
    if (end === 0) return
    if (isOversized(first, end - start)) throw frameError(FrameStatus.TooLarge, this.maximumPacketSize)
    if (this.version === 5) checkPromisedProperties(bytes, frame, limit)
  }

  /** Any packet but PUBLISH. */
  private receiveOther(bytes: Buffer, frame: Frame): void {
    const { packets, turn } = this.context
    const type = frame.first >> 4
    turn.slice.effort.units++
    if (type >= PacketType.Puback && type <= PacketType.Pubcomp) packets.acknowledgement(this, bytes, frame)
    else if (this.phase === Phase.AwaitingConnect) packets.connect(this, bytes, frame)
    else if (type === PacketType.Connect) throw protocolError(phaseError(this.phase, type))
    else packets.control(this, bytes, frame)
  }

  /** A CONNECT could be read: from now on packets and answers are those of its version. */
  speak(version: ProtocolVersion): void {
    this.advance('connect')
    this.version = version
    this.outbox.version = version
  }

  /** True when no acknowledgement waits for a commit: the next one may be written at once. */
  get settled(): boolean {
    return this.answers === null || this.answers.empty
  }

  /** Runs `step` once `committed` has settled, after what was acknowledged before. */
  afterCommit(committed: Promise<void> | undefined, step: (error: unknown) => void): void {
    ;(this.answers ??= new AnswerQueue()).after(committed, step)
  }

  /** Ends the connection because of an error. MQTT 5.0 clients get its Reason Code, the others only see the end. */
  fail(cause: unknown): void {
    if (this.closing) return
    const known = cause instanceof MqttError
    const error = known
      ? cause
      : new MqttError('GNATMQ_CONNECTION_LOST', `the connection failed: ${causeText(cause)}`, { cause })
    if (!known) this.context.logger.error({ err: cause, clientId: this.client?.clientId }, 'unexpected error')
    const reasonCode = error.reasonCode ?? ReasonCode.UnspecifiedError
    if (!this.open) this.context.turn.counters.refuseConnection(error.code)
    this.report(error)
    const packet = this.disconnectPacket(reasonCode, { reasonString: error.message })
    this.finish({ reasonCode, byClient: false, error }, packet)
  }

  /** Tells the application. `topic` is the Topic Name or Topic Filter that the error is about, if there is one. */
  report(error: MqttError, topic?: string): void {
    this.context.packets.report(this, error, topic)
  }

  /** Ends the connection on behalf of the application or the broker. */
  disconnect(reasonCode: number, options: ClientDisconnectOptions = {}, error?: MqttError): void {
    if (this.closing) return
    if (reasonCode === ReasonCode.Success) this.will = null
    this.finish({ reasonCode, byClient: false, error }, this.disconnectPacket(reasonCode, options))
  }

  identityChanged(hasOtherRights: boolean): Promise<void> {
    return this.context.packets.identityChanged(this, hasOtherRights)
  }

  /** null where the server sends no DISCONNECT: before CONNACK, and before MQTT 5.0. */
  private disconnectPacket(reasonCode: number, options: ClientDisconnectOptions): Uint8Array | null {
    if (this.version !== 5 || this.phase !== Phase.Open) return null
    return encodeDisconnectWithin(this.outbox.maximumPacketSize, reasonCode, options)
  }

  /** A CONNECT was refused: `connack` is the last packet. */
  refuse(connack: Uint8Array | null, error: MqttError): void {
    if (this.closing) return
    this.context.turn.counters.refuseConnection(error.code)
    this.report(error)
    this.will = null
    this.finish({ reasonCode: error.reasonCode ?? ReasonCode.UnspecifiedError, byClient: false, error }, connack)
  }

  /** Gives the session up, and ends the stream behind what waits for the client. */
  finish(reason: DisconnectReason, lastPacket: Uint8Array | null): void {
    this.leave(reason)
    if (this.end.lost) {
      this.close()
      return
    }
    if (lastPacket !== null && lastPacket.length <= this.outbox.maximumPacketSize) this.outbox.write(lastPacket)
    this.outbox.end()
    this.channel.resume()
    this.deadline.awaitClose(this.context.clock.now(), this.end.reached)
  }

  /** From here on nothing is read, and the session has no connection. */
  private leave(reason: DisconnectReason): void {
    if (this.closing) return
    if (this.outbox.runEnd !== -1) this.outbox.settleRun()
    this.advance('end')
    this.intake.clear()
    this.context.packets.ended(this, reason)
  }

  /** The stream has closed, and the session is given up. */
  close(): void {
    this.advance('close')
    this.outbox.close()
    this.deadline.cancel()
    this.context.packets.closed(this)
    for (const listener of this.closeListeners ?? []) listener()
    this.closeListeners = null
  }

  /** Calls `listener` after that. */
  whenClosed(listener: () => void): void {
    ;(this.closeListeners ??= []).push(listener)
  }

  /** Whether it is the broker that keeps the client waiting. */
  get awaitsBroker(): boolean {
    return !this.throttled && (this.waits || this.end.reached)
  }

  /** Whether nothing that the client sends now would be read: what it sent before fills its place. */
  get unheard(): boolean {
    // one that reads too slowly, or has no answer to its CONNECT
    const isMute = this.throttled || (this.phase === Phase.Authenticating && this.parkCount > 0)
    return isMute && (this.end.reached || this.intake.length >= LISTEN_BYTES)
  }

  /** Changes as long as the client takes what it is sent. */
  get writeProgress(): string {
    return `${this.outbox.completed} ${this.channel.unsentBytes ?? 0}`
  }

  /** Reads ahead, so that a sign of life is seen, or the end; false if that goes on, or can't be. */
  listen(): boolean {
    if ((!this.throttled && this.open) || this.reading === Reading.Listening || this.unheard) return false
    this.reading = Reading.Listening
    this.channel.resume()
    return true
  }

  /** A client that is sent answers and does not read them is not read from either. */
  overflowing(): void {
    if (this.throttled || this.closing) return
    this.throttled = true
    this.park()
  }

  /** Calls `onTaken` if nothing waits for the client, in the outbox or in the session. */
  wakeWaiting(): void {
    const { onTaken } = this
    if (onTaken === null || this.outbox.congested || this.session?.queuedMessages !== 0) return
    this.onTaken = null
    onTaken()
  }

  /** The client has taken what kept it from being read, or never will. */
  endThrottle(): void {
    if (!this.throttled) return
    this.throttled = false
    this.reading = Reading.Usual
    this.unpark()
  }

  drained(): void {
    this.endThrottle()
    this.context.packets.drained(this)
    this.wakeWaiting()
  }
}
