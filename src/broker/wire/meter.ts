import type { ClientLimits } from '../../ports/client-limits'
import { MqttError } from '../../protocol/mqtt-error'
import type { Deadline } from './deadline-wheel'

/** Seconds of its rate that a bucket holds at the most. */
const CAPACITY = 1
/** The part of it that there must be for a client to go on, and the part from which it keeps to its rates. */
const ENOUGH = 0.125
const KEEPS = 0.75

/** A connection that can be kept from going on. */
interface MeteredConnection {
  park(): void
  unpark(): void
}

interface MeterClock {
  now(): number
}

interface MeterWheel {
  place(deadline: Deadline): void
  remove(deadline: Deadline): void
}

/** A token bucket. One unit may be taken as long as there is anything: what is larger is owed. */
class Bucket {
  private rate = Number.POSITIVE_INFINITY
  private capacity = 0
  private tokens = 0
  private filledAt = 0

  setRate(rate: number | undefined, now: number): void {
    const wasUnlimited = this.rate === Number.POSITIVE_INFINITY
    this.rate = rate ?? Number.POSITIVE_INFINITY
    this.capacity = this.rate * CAPACITY
    // no more than what is enough at first, so that those that come anew again and again get no more than others
    this.tokens = wasUnlimited ? this.capacity * ENOUGH : Math.min(this.tokens, this.capacity)
    this.filledAt = now
  }

  /** Takes so many. */
  take(count: number, now: number): void {
    if (this.rate === Number.POSITIVE_INFINITY) return
    this.tokens = Math.min(this.capacity, this.tokens + ((now - this.filledAt) * this.rate) / 1000) - count
    this.filledAt = now
  }

  get isEmpty(): boolean {
    return this.rate !== Number.POSITIVE_INFINITY && this.tokens <= 0
  }

  get isKept(): boolean {
    return this.rate === Number.POSITIVE_INFINITY || this.tokens >= this.capacity * KEEPS
  }

  /** Milliseconds until there is enough. */
  get waitMs(): number {
    if (this.rate === Number.POSITIVE_INFINITY) return 0
    return Math.max(0, ((this.capacity * ENOUGH - this.tokens) / this.rate) * 1000)
  }
}

/** Counts what one client publishes, and parks its connection where that is more than its rates allow. */
export class Meter implements Deadline {
  slot = -1
  dueAt = Number.POSITIVE_INFINITY
  private readonly messages = new Bucket()
  private readonly bytes = new Bucket()
  private toleranceMs = Number.POSITIVE_INFINITY
  /** Since when it has sent faster all the time; -1 if it has not. */
  private fasterSince = -1
  private isParked = false
  private readonly connection: MeteredConnection
  private readonly clock: MeterClock
  private readonly wheel: MeterWheel

  constructor(connection: MeteredConnection, clock: MeterClock, wheel: MeterWheel) {
    this.connection = connection
    this.clock = clock
    this.wheel = wheel
  }

  setLimits({ bytesPerSecond, messagesPerSecond, rateTolerance = Number.POSITIVE_INFINITY }: ClientLimits): void {
    const now = this.clock.now()
    this.messages.setRate(messagesPerSecond, now)
    this.bytes.setRate(bytesPerSecond, now)
    this.toleranceMs = rateTolerance * 1000
    this.fasterSince = -1
    if (this.isParked) this.place(now)
  }

  /** A PUBLISH of so many bytes has come. Throws GNATMQ_MESSAGE_RATE where that has gone on for too long. */
  count(bytes: number, now: number): void {
    this.messages.take(1, now)
    this.bytes.take(bytes, now)
    if (this.messages.isEmpty || this.bytes.isEmpty) this.park(now)
    else if (this.fasterSince >= 0 && this.messages.isKept && this.bytes.isKept) this.fasterSince = -1
  }

  private park(now: number): void {
    if (this.fasterSince < 0) this.fasterSince = now
    else if (now - this.fasterSince >= this.toleranceMs) {
      const text = 'the client has published faster than its limits allow for longer than rateTolerance'
      throw new MqttError('GNATMQ_MESSAGE_RATE', text)
    }
    if (this.isParked) return
    this.isParked = true
    this.connection.park()
    this.place(now)
  }

  private place(now: number): void {
    this.dueAt = now + Math.max(this.messages.waitMs, this.bytes.waitMs)
    this.wheel.place(this)
  }

  due(): void {
    this.isParked = false
    this.connection.unpark()
  }

  /** The connection is over. */
  end(): void {
    this.wheel.remove(this)
  }
}
