import type { ClientLimits } from '../../ports/client-limits'
import { isApplicationIdentifier } from '../../protocol/application-identifier'
import { MqttError } from '../../protocol/mqtt-error'
import { Dialect } from '../../protocol/output'
import { ReasonCode } from '../../protocol/reason-code'
import type { Session } from '../../session/session'
import type { CommitJournal } from '../commits/commit-journal'
import type { Authorization } from '../hooks/authorization'
import type { SessionRegistry } from '../sessions/registry'
import { type ClientExtras, IdentityExpiry } from '../wire/client-extras'
import type { ClientHandle } from '../wire/client-handle'
import type { Connection } from '../wire/connection'
import type { DeadlineWheel } from '../wire/deadline-wheel'
import { Meter } from '../wire/meter'
import type { BrokerSettings } from '../wire/settings'

export interface IdentityParts {
  readonly settings: BrokerSettings
  readonly registry: SessionRegistry
  readonly wheel: DeadlineWheel
  readonly journal: CommitJournal
  readonly authorization: Authorization
}

const none: ClientLimits = Object.freeze({})

/** What the identities of connected clients bring about while they are connected. */
export class Identities {
  private readonly parts: IdentityParts
  /** Connections of users whose limits bound them. */
  private readonly byUser = new Map<string, number>()

  constructor(parts: IdentityParts) {
    this.parts = parts
  }

  /** The client is connected, or its identity has changed. */
  begin(connection: Connection): void {
    // the stream may have broken meanwhile
    if (connection.session?.output === connection.outbox) this.guard(connection)
    const { client, session } = connection
    if (client!.extras !== null) this.awaitExpiry(connection, client!.extras)
    const limits = this.limitsOf(client!)
    this.bound(session!, limits)
    if (client!.extras !== null) client!.extras.maximumSubscriptions = limits.maximumSubscriptions
    this.meter(connection, limits)
  }

  private limitsOf({ clientId, extras }: ClientHandle): ClientLimits {
    const { clientLimits } = this.parts.settings
    if (isApplicationIdentifier(clientId)) return none
    return extras?.limits === undefined ? clientLimits : { ...clientLimits, ...extras.limits }
  }

  /** Why a client that is about to open its session may not connect. Otherwise its connection counts from now on. */
  admit(client: ClientHandle): MqttError | undefined {
    const { maximumConnections, maximumSubscriptions } = this.limitsOf(client)
    if (maximumSubscriptions !== undefined) client.openExtras()
    if (maximumConnections === undefined || client.username === undefined) return undefined
    const { byUser } = this
    const { username } = client
    const former = this.parts.registry.connection(client.clientId)?.client
    // the connection that it takes over counts no more
    const isCounted = former?.username === username && (former.extras?.left ?? null) !== null
    const count = (byUser.get(username) ?? 0) - (isCounted ? 1 : 0)
    if (count >= maximumConnections) {
      const text = `the user ${username} has ${count} connections: see maximumConnections of its limits`
      return new MqttError('GNATMQ_QUOTA_EXCEEDED', text)
    }
    byUser.set(username, (byUser.get(username) ?? 0) + 1)
    const extras = client.openExtras()
    extras.left = () => {
      extras.left = null
      const left = byUser.get(username)! - 1
      if (left > 0) byUser.set(username, left)
      else byUser.delete(username)
    }
    return undefined
  }

  /** What waits in the session stays, also where it is more. */
  private bound(session: Session, { maximumQueuedBytes, maximumQueuedMessages }: ClientLimits): void {
    const { session: common } = this.parts.settings
    if (maximumQueuedBytes === undefined && maximumQueuedMessages === undefined) session.limits = common
    else
      session.limits = {
        ...common,
        maximumQueuedBytes: Math.min(maximumQueuedBytes ?? Number.POSITIVE_INFINITY, common.maximumQueuedBytes),
        maximumQueuedMessages: Math.min(
          maximumQueuedMessages ?? Number.POSITIVE_INFINITY,
          common.maximumQueuedMessages,
        ),
      }
  }

  private meter(connection: Connection, limits: ClientLimits): void {
    const { settings, wheel } = this.parts
    const client = connection.client!
    const isMetered = limits.messagesPerSecond !== undefined || limits.bytesPerSecond !== undefined
    let meter = client.extras === null ? null : client.extras.meter
    if (meter === null) {
      if (!isMetered) return
      const made = new Meter(connection, settings.clock, wheel)
      client.openExtras().meter = meter = made
      connection.whenClosed(() => made.end())
    }
    meter.setLimits(limits)
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
    const { settings, wheel } = this.parts
    const { clock } = settings
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
