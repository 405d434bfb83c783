import type { Duplex } from 'node:stream'
import type { Clock } from '../../ports/clock'
import type { DisconnectReason } from '../../ports/events'
import { MqttError } from '../../protocol/mqtt-error'
import { ReasonCode } from '../../protocol/reason-code'
import type { Session } from '../../session/session'
import type { Outbox } from './outbox'

/** What the end of a stream has to do with its connection. */
export interface EndingConnection {
  readonly channel: { readonly stream: Duplex; pause(): void; resume(): void }
  readonly outbox: Outbox
  readonly session: Session | null
  readonly deadline: { awaitReader(now: number): void }
  readonly closing: boolean
  /** True while nothing of what has come can be walked. */
  readonly waits: boolean
  readonly throttled: boolean
  /** What the client has sent and what waits. */
  readonly intake: { readonly length: number }
  /** True when no acknowledgement waits for a commit. */
  readonly settled: boolean
  afterCommit(committed: undefined, step: () => void): void
  whenClosed(listener: () => void): void
  /** Reads ahead, so that the end is seen. */
  listen(): boolean
  endThrottle(): void
  report(error: MqttError): void
  finish(reason: DisconnectReason, lastPacket: null): void
  close(): void
}

/** Where a stream has its `StreamEnd`: so three functions serve for all streams, and no idle connection holds three of its own. */
const watcher = Symbol('StreamEnd')

type WatchedStream = Duplex & { [watcher]?: StreamEnd }

function ended(this: WatchedStream): void {
  this[watcher]!.reach()
}

function broken(this: WatchedStream, error: Error): void {
  this[watcher]!.lose(error)
}

function closed(this: WatchedStream): void {
  this[watcher]!.lose()
}

/** How long a client that comes back waits for what it sent over its former connection, in milliseconds. */
const PRECEDENCE_MS = 2000
/** Turns of the event loop in which the end of a stream that was not read from shows itself. */
const TURNS = 4

/**
 * The end of one connection's byte stream. What came before it is walked first, in its order, whatever its hooks and the
 * store take: only then the connection ends, and its session and Will with it.
 */
export class StreamEnd {
  /** Nothing more comes. */
  reached = false
  /** Nothing more can be written either. */
  lost = false
  private onGone: (() => void) | null = null
  private cause: Error | undefined = undefined
  private readonly connection: EndingConnection
  private readonly clock: Clock

  constructor(connection: EndingConnection, clock: Clock) {
    this.connection = connection
    this.clock = clock
  }

  /** Call it once the channel reads: what a channel still has when its stream closes must come before that. */
  watch(): void {
    const { stream } = this.connection.channel
    // a peer that has ended its half may still wait for answers
    stream.allowHalfOpen = true
    ;(stream as WatchedStream)[watcher] = this
    stream.on('end', ended).on('error', broken).on('close', closed)
  }

  /** The stream closed or broke, or the broker gives it up. */
  lose(cause?: Error): void {
    this.cause ??= cause
    if (this.lost) return
    this.lost = true
    const { connection } = this
    const { channel, outbox, session } = connection
    channel.stream.destroy()
    if (connection.closing) {
      connection.close()
      return
    }
    outbox.close()
    if (session !== null && session.output === outbox) session.detach()
    this.reach()
    // the client reads nothing any more, so nothing waits for that
    connection.endThrottle()
  }

  /** Ends the connection if the last packet is done. Its answers go out first, as far as they can. */
  goOn(): void {
    const { connection, lost, reached } = this
    if (!reached || connection.waits || connection.closing) return
    if (lost || connection.settled) this.conclude()
    else connection.afterCommit(undefined, () => this.conclude())
  }

  /**
   * Another connection is about to take the session over. If the client has closed this one, calls `then` when what it sent is done, or
   * after 2 seconds; if not, two clients contend, and `then` is called at once.
   */
  precede(then: () => void): void {
    this.look(() => {
      if (!this.reached || this.connection.closing) {
        then()
        return
      }
      let isDone = false
      const once = (): void => {
        if (isDone) return
        isDone = true
        cancel()
        then()
      }
      const cancel = this.clock.after(PRECEDENCE_MS, once)
      this.connection.whenClosed(once)
    })
  }

  /** Calls `then` once `reached` says whether the client has closed: a paused socket does not tell of that, so it reads on. */
  look(then: () => void): void {
    const { connection } = this
    if (!this.reached) connection.channel.resume()
    this.lookFor(TURNS, () => {
      if (connection.waits && !connection.closing) connection.channel.pause()
      then()
    })
  }

  private lookFor(turns: number, then: () => void): void {
    if (this.reached || this.connection.closing || turns === 0) then()
    else setImmediate(() => this.lookFor(turns - 1, then))
  }

  /** Calls `listener` when the client has gone, at once if it has already: see `Client.signal`. */
  whenGone(listener: () => void): void {
    if (this.isGone) {
      listener()
      return
    }
    this.onGone = listener
    this.connection.whenClosed(listener)
    this.connection.listen()
  }

  /** A client that has sent more than what is being done may have ended its half. */
  private get isGone(): boolean {
    const { closing, intake } = this.connection
    return this.lost || closing || (this.reached && intake.length === 0)
  }

  /** Nothing more comes. */
  reach(): void {
    const { connection } = this
    this.reached = true
    if (this.isGone) this.onGone?.()
    if (connection.throttled && !this.lost) connection.deadline.awaitReader(this.clock.now())
    this.goOn()
  }

  /** The stream ended without DISCONNECT. */
  private conclude(): void {
    const { cause, connection } = this
    if (connection.closing) return
    if (cause instanceof MqttError) connection.report(cause)
    const text = `the connection broke: ${cause?.message}`
    const error = cause === undefined ? undefined : new MqttError('GNATMQ_CONNECTION_LOST', text, { cause })
    connection.finish({ reasonCode: ReasonCode.UnspecifiedError, byClient: false, error }, null)
  }
}
