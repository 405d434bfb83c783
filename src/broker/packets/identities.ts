import type { Clock } from '../../ports/clock'
import { MqttError } from '../../protocol/mqtt-error'
import { ReasonCode } from '../../protocol/reason-code'
import { type ClientExtras, IdentityExpiry } from '../wire/client-extras'
import type { Connection } from '../wire/connection'
import type { DeadlineWheel } from '../wire/deadline-wheel'

/** What the identities of connected clients bring about while they are connected. */
export class Identities {
  private readonly clock: Clock
  private readonly wheel: DeadlineWheel

  constructor(clock: Clock, wheel: DeadlineWheel) {
    this.clock = clock
    this.wheel = wheel
  }

  /** The client is connected, or has re-authenticated. */
  begin(connection: Connection, extras: ClientExtras): void {
    const { expiry, identity } = extras
    const at = identity?.expiresAt
    if (at === undefined || at === expiry?.at) return
    if (expiry === undefined) connection.whenClosed(() => this.wheel.remove(extras.expiry!))
    else this.wheel.remove(expiry)
    const dueAt = this.clock.now() + at - this.clock.wallTime()
    extras.expiry = new IdentityExpiry(at, dueAt, () => expire(connection))
    this.wheel.place(extras.expiry)
  }
}

function expire(connection: Connection): void {
  const reasonString = 'the identity has expired'
  const error = new MqttError('GNATMQ_IDENTITY_EXPIRED', reasonString)
  connection.disconnect(ReasonCode.NotAuthorized, { reasonString }, error)
}
