import type { Clock } from '../../ports/clock'
import { MqttError } from '../../protocol/mqtt-error'
import { Dialect } from '../../protocol/output'
import { ReasonCode } from '../../protocol/reason-code'
import type { CommitJournal } from '../commits/commit-journal'
import type { Authorization } from '../hooks/authorization'
import { type ClientExtras, IdentityExpiry } from '../wire/client-extras'
import type { Connection } from '../wire/connection'
import type { DeadlineWheel } from '../wire/deadline-wheel'

export interface IdentityParts {
  readonly clock: Clock
  readonly wheel: DeadlineWheel
  readonly journal: CommitJournal
  readonly authorization: Authorization
}

/** What the identities of connected clients bring about while they are connected. */
export class Identities {
  private readonly parts: IdentityParts

  constructor(parts: IdentityParts) {
    this.parts = parts
  }

  /** The client is connected, or its identity has changed. */
  begin(connection: Connection): void {
    // the stream may have broken meanwhile
    if (connection.session?.output === connection.outbox) this.guard(connection)
    const { extras } = connection.client!
    if (extras !== null) this.awaitExpiry(connection, extras)
  }

  /** From now on what is sent to the client is looked at, or is no longer. */
  private guard({ client, outbox, session, version }: Connection): void {
    const { authorization, journal } = this.parts
    const gate = authorization.deliveryGate(client!, journal)
    session!.gate = gate
    const plain = session!.outgoingAliases !== null ? Dialect.V5Aliased : Dialect.V5
    outbox.dialect = gate !== null ? Dialect.Guarded : version < 5 ? Dialect.V3 : plain
  }

  private awaitExpiry(connection: Connection, extras: ClientExtras): void {
    const { clock, wheel } = this.parts
    const { expiresAt: at, expiry } = extras
    if (at === undefined || at === expiry?.at) return
    if (expiry === undefined) connection.whenClosed(() => wheel.remove(extras.expiry!))
    else wheel.remove(expiry)
    extras.expiry = new IdentityExpiry(at, clock.now() + at - clock.wallTime(), () => expire(connection))
    wheel.place(extras.expiry)
  }
}

function expire(connection: Connection): void {
  const reasonString = 'the identity has expired'
  const error = new MqttError('GNATMQ_IDENTITY_EXPIRED', reasonString)
  connection.disconnect(ReasonCode.NotAuthorized, { reasonString }, error)
}
