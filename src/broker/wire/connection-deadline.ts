import { MqttError } from '../../protocol/mqtt-error'
import type { Deadline, DeadlineWheel } from './deadline-wheel'

/** What a deadline looks at, and ends. */
export interface WatchedConnection {
  readonly open: boolean
  readonly closing: boolean
  /** `clock.now()` when bytes came last. */
  readonly lastSeen: number
  readonly awaitsBroker: boolean
  readonly unheard: boolean
  readonly writeProgress: string
  readonly end: { lose(): void }
  listen(): boolean
  fail(error: MqttError): void
}

/** How long a client may take to read our last packet and close, in milliseconds. */
const FAREWELL_MS = 2000
/** How long a stream that was not read from is listened to, in milliseconds: what has arrived is read at once. */
const LISTEN_MS = 1000

/**
 * When a connection is over unless something happens: without a CONNECT, without a packet (Keep Alive), or with a peer
 * that does not close. The broker's own delays do not count: while a hook or the store keeps a client waiting, its
 * Keep Alive rests, and a client that is not read from because it reads slowly is listened to before it is given up.
 */
export class ConnectionDeadline implements Deadline {
  dueAt: number
  slot = -1
  private keepAliveMs = 0
  /** Where the writes to the client stood when they were last looked at. */
  private progress = ''
  /** Whether a client may take its time as long as it reads: one that closes, or one that knows of no Keep Alive. */
  private patient = false
  private readonly connection: WatchedConnection
  private readonly wheel: DeadlineWheel
  private readonly connectTimeoutMs: number

  constructor(
    connection: WatchedConnection,
    { wheel, connectTimeoutMs }: { readonly wheel: DeadlineWheel; readonly connectTimeoutMs: number },
    acceptedAt: number,
  ) {
    this.connection = connection
    this.wheel = wheel
    this.connectTimeoutMs = connectTimeoutMs
    this.dueAt = acceptedAt + connectTimeoutMs
    wheel.place(this)
  }

  /** CONNECT was accepted: from now on Keep Alive holds. `patient`: the client was not told of it, and is there as long as it reads. */
  awaitPackets(keepAliveSeconds: number, patient: boolean): void {
    this.patient = patient
    this.keepAliveMs = keepAliveSeconds * 1500
    this.placeAt(this.keepAliveMs === 0 ? Number.POSITIVE_INFINITY : this.connection.lastSeen + this.keepAliveMs)
  }

  /** The client has ended its half and reads too slowly to be answered: it has to go on reading. */
  awaitReader(now: number): void {
    if (this.keepAliveMs === 0) this.keepAliveMs = this.connectTimeoutMs
    this.hasProgressed()
    this.placeAt(now + this.keepAliveMs)
  }

  /** The last packet is on its way. `patient`: the client has ended its half, and may read for as long as it goes on. */
  awaitClose(now: number, patient: boolean): void {
    this.patient = patient
    this.hasProgressed()
    this.placeAt(now + FAREWELL_MS)
  }

  cancel(): void {
    this.wheel.remove(this)
  }

  due(now: number): void {
    const { connection } = this
    if (connection.closing) {
      if (this.patient && this.hasProgressed()) this.placeAt(now + FAREWELL_MS)
      else connection.end.lose()
    } else if (!connection.open) {
      connection.fail(new MqttError('GNATMQ_CONNECT_TIMEOUT', 'no CONNECT was accepted within connectTimeout'))
    } else this.keepAliveDue(now)
  }

  private keepAliveDue(now: number): void {
    const { connection, keepAliveMs } = this
    if (connection.awaitsBroker) this.placeAt(now + keepAliveMs)
    else if (connection.lastSeen + keepAliveMs > now) this.placeAt(connection.lastSeen + keepAliveMs)
    else if (connection.listen()) this.placeAt(now + Math.min(LISTEN_MS, keepAliveMs))
    else if ((connection.unheard || this.patient) && this.hasProgressed()) this.placeAt(now + keepAliveMs)
    else {
      const text = 'no packet within one and a half times Keep Alive [MQTT-3.1.2-24]'
      connection.fail(new MqttError('GNATMQ_KEEP_ALIVE_TIMEOUT', text))
    }
  }

  /** Whether the client has taken anything since the last look. */
  private hasProgressed(): boolean {
    const { progress } = this
    this.progress = this.connection.writeProgress
    return this.progress !== progress
  }

  private placeAt(dueAt: number): void {
    this.dueAt = dueAt
    this.wheel.place(this)
  }
}
