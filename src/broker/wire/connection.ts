import type { ClientDisconnectOptions } from '../../ports/client'
import type { DisconnectReason } from '../../ports/events'
import { causeText } from '../../ports/given-values'
import type { Channel } from '../../ports/listener'
import { connackVersion, decodePacket, encodeConnack, encodeDisconnectWithin } from '../../protocol/codec'
import { type Frame, FrameStatus, frameError, readFrame } from '../../protocol/frame'
import { MqttError, protocolError } from '../../protocol/mqtt-error'
import { type ClientPacket, PacketType, type ProtocolVersion } from '../../protocol/packet'
import { readPublish } from '../../protocol/publish-packet'
import { connectReturnCode, ReasonCode } from '../../protocol/reason-code'
import type { Route } from '../../routing/route'
import type { Session } from '../../session/session'
import type { ClientHandle } from './client-handle'
import { CommitQueue } from './answer-queue'
import { ConnectionDeadline } from './connection-deadline'
import { receiveControlPacket } from '../packets/control-packets'
import type { Core } from '../core'
import type { Exchange } from '../packets/auth'
import { receiveAck } from '../packets/acknowledgement'
import { Intake } from './intake'
import { Outbox, type OutboxOwner } from './outbox'
import { StreamEnd } from './stream-end'
import type { Will } from '../sessions/wills'

/** What a client does first, its subscriptions, is part of its coming. In milliseconds after CONNACK. */
const ESTABLISHED_MS = 1000
/** What a client may send while it is listened to only for its Keep Alive, in bytes. */
const LISTEN_BYTES = 64 * 1024

/** Where a connection is in its life. */
const Phase = { AwaitingConnect: 0, Authenticating: 1, Open: 2, Closing: 3, Closed: 4 } as const

/** One network connection (section 4.2): bytes in, packets to the rooms that answer for them, bytes out. */
export class Connection implements OutboxOwner {
  readonly channel: Channel
  readonly core: Core
  readonly outbox: Outbox
  version: ProtocolVersion = 4
  session: Session | null = null
  client: ClientHandle | null = null
  will: Will | null = null
  /** The route of the last PUBLISH: the next one often takes the same. */
  lastRoute: Route<Session> | null = null
  /** MQTT 5.0: topics by the alias that the client gave them. */
  incomingAliases: Uint8Array[] | null = null
  /** MQTT 5.0: the enhanced authentication of this connection, if it asked for one. */
  exchange: Exchange | null = null
  /** MQTT 5.0: the Authentication Data that goes into CONNACK. */
  authenticationData: Uint8Array | undefined = undefined
  /** MQTT 5.0: whether Reason Strings may be sent with anything but CONNACK and DISCONNECT (section 3.1.2.11.7). */
  problemInformation = true
  /** True between `clientConnected` and `clientDisconnected`. */
  announced = false
  /** QoS 1 and 2 messages received and not yet acknowledged, because a commit or a hook is open. */
  unacknowledged = 0
  /** What waits for commits, in order. */
  commits: CommitQueue | null = null
  /** Acknowledgements written during this chunk, which the client can't have seen yet. */
  acknowledgedInChunk = 0
  /** Called once, when the client has taken something and nothing is left in its queue. */
  onTaken: (() => void) | null = null
  /** `clock.now()` when bytes came last. */
  lastSeen: number
  /** `clock.now()` when it counts among those who are not to suffer from others' coming. */
  private establishedAt = Number.POSITIVE_INFINITY
  private maximumPacketSize: number
  private phase: number = Phase.AwaitingConnect
  private readonly intake: Intake
  readonly deadline: ConnectionDeadline
  readonly end: StreamEnd
  private parkCount = 0
  private postponed = false
  throttled = false
  private listening = false
  private closeListeners: (() => void)[] | null = null

  constructor(core: Core, channel: Channel) {
    const { settings } = core
    this.core = core
    this.channel = channel
    this.outbox = new Outbox(channel.stream, channel.releasesWrites, core.turn, settings.outbox, this)
    this.intake = new Intake(core.turn.pool)
    this.maximumPacketSize = settings.maximumConnectPacketSize
    this.lastSeen = channel.acceptedAt
    this.deadline = new ConnectionDeadline(this, channel.acceptedAt)
    core.connections.add(this)
    this.end = new StreamEnd(this)
    channel.read((bytes, length) => this.receive(bytes, length))
    this.end.watch()
  }

  get open(): boolean {
    return this.phase === Phase.Open
  }

  get closing(): boolean {
    return this.phase >= Phase.Closing
  }

  /** True while later packets wait their turn. */
  get parked(): boolean {
    return this.parkCount > 0
  }

  /** True while nothing of what has come can be walked. */
  get waits(): boolean {
    return this.parkCount > 0 || this.postponed
  }

  /** Later packets of this client wait until `unpark`: a hook or the store has not answered yet. */
  park(): void {
    if (this.parkCount++ === 0) this.channel.pause()
  }

  unpark(): void {
    if (--this.parkCount > 0 || this.closing) return
    this.lastSeen = this.core.settings.clock.now()
    this.intake.resume(this)
    if (this.parked || this.closing) return
    if (this.end.reached) this.end.goOn()
    else this.channel.resume()
  }

  /** The CONNECT was accepted: from now on the client's own limits hold. */
  begin(session: Session, keepAliveSeconds: number): void {
    this.session = session
    this.phase = Phase.Open
    this.maximumPacketSize = this.core.settings.maximumPacketSize
    this.lastSeen = this.core.settings.clock.now()
    this.establishedAt = this.lastSeen + ESTABLISHED_MS
    this.deadline.awaitPackets(keepAliveSeconds)
    if (this.end.lost) session.detach()
  }

  private receive(bytes: Buffer, length: number): void {
    if (this.closing) return
    // a long packet over a slow line is a sign of life before it is whole
    this.lastSeen = this.core.settings.clock.now()
    if (this.core.turn.walking || this.postponed) this.postpone(bytes, length)
    else this.intake.receive(this, bytes, length)
    if (this.listening && this.unheard) this.channel.pause()
  }

  /** Bytes that arrive while another connection's are walked: an in-process peer answered from within a hook. */
  private postpone(bytes: Buffer, length: number): void {
    this.intake.hold(this, bytes, length)
    if (this.postponed) return
    this.postponed = true
    setImmediate(() => {
      this.postponed = false
      if (!this.parked && !this.closing) this.intake.resume(this)
      this.end.goOn()
    })
  }

  /** Walks whole packets in `bytes[at, limit)` and returns the offset of the first one that is not whole. */
  walk(bytes: Buffer, at: number, limit: number, stable: boolean): number {
    const { turn } = this.core
    const { frame } = turn
    this.acknowledgedInChunk = 0
    this.core.publisher.beginChunk()
    turn.chunk = bytes
    turn.chunkStable = stable
    turn.walking = true
    if (this.lastSeen > this.establishedAt) turn.chunks++
    try {
      while (at < limit && this.parkCount === 0 && !this.closing) {
        // looked at before the packet is whole: who does not speak MQTT is not waited for
        if (this.phase === Phase.AwaitingConnect && bytes[at]! >> 4 !== PacketType.Connect)
          throw protocolError('the first packet is not CONNECT [MQTT-3.1.0-1]')
        const status = readFrame(frame, bytes, at, limit, this.maximumPacketSize, this.version === 5)
        if (status === FrameStatus.Partial) break
        if (status !== FrameStatus.Whole) throw frameError(status, this.maximumPacketSize)
        at = frame.end
        this.receivePacket(bytes, stable)
      }
    } catch (error) {
      this.fail(error)
    } finally {
      // whatever happens: the chunk goes, and others must not wait for ever
      turn.settleRuns()
      turn.walking = false
    }
    return at
  }

  /** How long the packet at the start of `bytes` will be: 0 while that is not known, -1 if the connection has failed. */
  packetLength(bytes: Buffer, limit: number): number {
    const { frame } = this.core.turn
    const status = readFrame(frame, bytes, 0, limit, this.maximumPacketSize, this.version === 5)
    if (status === FrameStatus.Whole || status === FrameStatus.Partial) return frame.end
    this.fail(frameError(status, this.maximumPacketSize))
    return -1
  }

  private receivePacket(bytes: Buffer, stable: boolean): void {
    const { frame, packet } = this.core.turn
    const type = frame.first >> 4
    if (this.phase === Phase.Open) {
      if (type === PacketType.Publish) {
        readPublish(packet, bytes, frame, this.version, stable)
        this.core.publisher.receive(this, packet)
        return
      }
      if (type >= PacketType.Puback && type <= PacketType.Pubcomp) {
        receiveAck(this, bytes, frame)
        return
      }
    } else if (this.phase === Phase.Authenticating && type !== PacketType.Auth && type !== PacketType.Disconnect) {
      throw protocolError('a packet other than AUTH before CONNACK [MQTT-4.12.0-7]')
    }
    if (type === PacketType.Connect) this.receiveConnect(bytes, frame)
    else this.control(decodePacket(bytes, frame.start, frame.body, frame.end, this.version))
  }

  /** A CONNECT that can't be read is answered as far as its version can: in 5.0 always, before that only for the version. */
  private receiveConnect(bytes: Buffer, frame: Frame): void {
    if (this.phase !== Phase.AwaitingConnect) throw protocolError('a second CONNECT [MQTT-3.1.0-2]')
    try {
      this.control(decodePacket(bytes, frame.start, frame.body, frame.end, this.version))
    } catch (error) {
      if (!(error instanceof MqttError) || this.phase !== Phase.AwaitingConnect) throw error
      const version = connackVersion(bytes, frame.body, frame.end)
      const reasonCode = error.reasonCode ?? ReasonCode.UnspecifiedError
      const answered = version === 5 || error.code === 'GNATMQ_PROTOCOL_VERSION'
      const code = version === 5 ? reasonCode : connectReturnCode(reasonCode)
      this.refuse(answered ? encodeConnack(version, false, code) : null, error)
    }
  }

  private control(packet: ClientPacket): void {
    if (packet.type !== PacketType.Connect) {
      receiveControlPacket(this, packet)
      return
    }
    this.phase = Phase.Authenticating
    this.version = packet.protocolVersion
    this.outbox.version = packet.protocolVersion
    this.core.handshake.receive(this, packet)
  }

  /** True when no acknowledgement waits for a commit: the next one may be written at once. */
  get settled(): boolean {
    return this.commits === null || this.commits.empty
  }

  /** Runs `step` once `committed` has settled, after what was acknowledged before. */
  afterCommit(committed: Promise<void> | undefined, step: (error: unknown) => void): void {
    ;(this.commits ??= new CommitQueue()).after(committed, step)
  }

  /** Ends the connection because of an error: with its Reason Code in MQTT 5.0, without a word before. */
  fail(cause: unknown): void {
    if (this.closing) return
    const known = cause instanceof MqttError
    const error = known
      ? cause
      : new MqttError('GNATMQ_CONNECTION_LOST', `the connection failed: ${causeText(cause)}`, { cause })
    if (!known) this.core.settings.logger.error({ err: cause, clientId: this.client?.clientId }, 'unexpected error')
    const reasonCode = error.reasonCode ?? ReasonCode.UnspecifiedError
    this.reportError(error)
    this.finish({ reasonCode, byClient: false, error }, this.farewell(reasonCode, { reasonString: error.message }))
  }

  /** Tells the application. */
  reportError(error: MqttError): void {
    const { events, settings } = this.core
    settings.logger.warn(
      { err: error, clientId: this.client?.clientId, remoteAddress: this.channel.peer.remoteAddress },
      error.message,
    )
    if (events.listenerCount('clientError') > 0)
      events.emit(
        'clientError',
        error,
        { ...this.channel.peer },
        this.phase >= Phase.Open && this.session !== null ? (this.client ?? undefined) : undefined,
      )
  }

  /** Ends the connection on behalf of the application or the broker. */
  disconnect(reasonCode: number, options: ClientDisconnectOptions = {}, error?: MqttError): void {
    if (this.closing) return
    if (reasonCode === ReasonCode.Success) this.will = null
    this.finish({ reasonCode, byClient: false, error }, this.farewell(reasonCode, options))
  }

  /** DISCONNECT, for a client that knows it from a server. */
  private farewell(reasonCode: number, options: ClientDisconnectOptions): Uint8Array | null {
    if (this.version !== 5 || this.phase !== Phase.Open) return null
    return encodeDisconnectWithin(this.outbox.maximumPacketSize, reasonCode, options)
  }

  /** A CONNECT was refused: `connack` is the last word. */
  refuse(connack: Uint8Array | null, error: MqttError): void {
    if (this.closing) return
    this.reportError(error)
    this.will = null
    this.finish({ reasonCode: error.reasonCode ?? ReasonCode.UnspecifiedError, byClient: false, error }, connack)
  }

  /** Gives the session up, and ends the stream behind what waits for the client. */
  finish(reason: DisconnectReason, lastWord: Uint8Array | null): void {
    this.leave(reason)
    if (this.end.lost) {
      this.close()
      return
    }
    if (lastWord !== null && lastWord.length <= this.outbox.maximumPacketSize) this.outbox.write(lastWord)
    this.outbox.end()
    this.channel.resume()
    this.deadline.awaitClose(this.core.settings.clock.now(), this.end.reached)
  }

  /** From here on nothing is read, and the session belongs to nobody. */
  private leave(reason: DisconnectReason): void {
    if (this.closing) return
    if (this.outbox.runEnd !== -1) this.outbox.settleRun()
    this.phase = Phase.Closing
    this.intake.clear()
    if (this.session !== null) this.core.sessions.disconnected(this, this.session, reason)
  }

  /** The stream has closed, and the session is given up. */
  close(): void {
    this.phase = Phase.Closed
    this.outbox.close()
    this.deadline.cancel()
    this.core.connections.delete(this)
    const { closeListeners } = this
    this.closeListeners = null
    if (closeListeners !== null) for (const listener of closeListeners) listener()
  }

  /** Calls `listener` after that. */
  whenClosed(listener: () => void): void {
    ;(this.closeListeners ??= []).push(listener)
  }

  /** Whether it is the broker that keeps the client waiting. */
  get awaitsBroker(): boolean {
    return !this.throttled && (this.parked || this.end.reached)
  }

  /** Whether the client could say nothing that would be read: what it sent before fills its place. */
  get unheard(): boolean {
    return this.throttled && (this.end.reached || this.intake.length >= LISTEN_BYTES)
  }

  /** Changes as long as the client takes what it is sent. */
  get writeProgress(): string {
    return `${this.outbox.completed} ${this.channel.unsentBytes ?? 0}`
  }

  /** Reads ahead from a client that is not read from, so that its sign of life is seen; false if that goes on, or can't be. */
  listen(): boolean {
    if (!this.throttled || this.listening || this.unheard) return false
    this.listening = true
    this.channel.resume()
    return true
  }

  /** A client that is sent answers and does not read them is not read from either. */
  overflowing(): void {
    if (this.throttled || this.closing) return
    this.throttled = true
    this.park()
  }

  /** Goes on with what waits for the client, if nothing else does, in the outbox or in the session. */
  wakeWaiting(): void {
    const { onTaken } = this
    if (onTaken === null || this.outbox.congested || this.session?.queuedMessages !== 0) return
    this.onTaken = null
    onTaken()
  }

  /** The client has taken what kept it from being read, or never will. */
  endThrottle(): void {
    if (!this.throttled) return
    this.throttled = this.listening = false
    this.unpark()
  }

  drained(): void {
    this.endThrottle()
    if (this.session !== null && this.session.output === this.outbox) this.core.publisher.sendQueued(this.session)
    this.wakeWaiting()
  }
}
