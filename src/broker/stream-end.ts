import { MqttError } from '../protocol/mqtt-error'
import { ReasonCode } from '../protocol/reason-code'
import type { Connection } from './connection'

/**
 * The end of one connection's byte stream. What came before it is walked first, in its order, whatever its hooks and the
 * store take: only then the connection ends, and its session and Will with it.
 */
export class StreamEnd {
  /** Nothing more comes. */
  reached = false
  /** Nothing more can be written either. */
  lost = false
  private cause: Error | undefined = undefined
  private readonly connection: Connection

  constructor(connection: Connection) {
    this.connection = connection
  }

  /** Call it once the channel reads: what a channel still has when its stream closes must come before that. */
  watch(): void {
    const { stream } = this.connection.channel
    // a peer that has ended its half may still wait for answers
    stream.allowHalfOpen = true
    stream.on('end', () => this.reach())
    stream.on('error', (error: Error) => this.lose(error))
    stream.on('close', () => this.lose())
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
    // nobody is going to take what the client was to read first
    connection.endThrottle()
  }

  /** Ends the connection if the last packet is done. Its answers go out first, as far as they can. */
  goOn(): void {
    const { connection, lost, reached } = this
    if (!reached || connection.waits || connection.closing) return
    if (lost || connection.settled) this.conclude()
    else connection.afterCommit(undefined, () => this.conclude())
  }

  private reach(): void {
    const { connection } = this
    this.reached = true
    if (connection.throttled && !this.lost) connection.deadline.awaitReader(connection.core.settings.clock.now())
    this.goOn()
  }

  /** The stream ended without DISCONNECT. */
  private conclude(): void {
    const { cause, connection } = this
    if (connection.closing) return
    if (cause instanceof MqttError) connection.reportError(cause)
    const text = `the connection broke: ${cause?.message}`
    const error = cause === undefined ? undefined : new MqttError('GNATMQ_CONNECTION_LOST', text, { cause })
    connection.finish({ reasonCode: ReasonCode.UnspecifiedError, byClient: false, error }, null)
  }
}
