import { causeText, disregard } from '../../ports/given-values'
import type { AuthenticationExchange, AuthenticationStep, Hooks } from '../../ports/hooks'
import { encodeAuth } from '../../protocol/codec'
import { MqttError, protocolError } from '../../protocol/mqtt-error'
import type { AuthPacket, ConnectPacket } from '../../protocol/packet'
import { ReasonCode } from '../../protocol/reason-code'
import { type Answer, allowed, isAllowed, readVerdict, refusalOf } from '../hooks/answers'
import type { Authorization } from '../hooks/authorization'
import type { IdentityFields } from '../wire/client-extras'
import type { ClientHandle } from '../wire/client-handle'
import type { Connection } from '../wire/connection'
import { writeAnswer } from './answers'
import { type AuthenticationTurns, outcomeOf, type Turn } from './authentication-turns'
import type { ConnectBounds } from './connect-bounds'

/** A step whose fields are checked. */
type GivenStep = AuthenticationStep & { readonly identity?: IdentityFields | undefined }

/** The end of an exchange, and the Authentication Data for the packet that ends it. */
export interface AuthenticationResult {
  readonly answer: Answer
  readonly data: Uint8Array | undefined
}

/** The enhanced authentication of one connection. */
interface Exchange {
  readonly method: string
  /** null once it has ended, until the client authenticates anew. */
  running: AuthenticationExchange | null
  /** True while the next packet is to come from the client. */
  awaitsClient: boolean
  /** True while the answer of a step is waited for. */
  awaitsStep: boolean
  done: (result: AuthenticationResult) => void
}

export interface AuthParts {
  readonly hooks: Hooks
  readonly authorization: Authorization
  readonly turns: AuthenticationTurns
  readonly bounds: ConnectBounds
}

/** A client that goes between two steps has decided nothing. */
const lost = (): AuthenticationResult => {
  const error = new MqttError('GNATMQ_CONNECTION_LOST', 'the client has gone during its authentication')
  return { answer: refusalOf(error), data: undefined }
}

/** AUTH (MQTT 5.0 sections 3.15 and 4.12): as many steps as the method takes, before CONNACK or later. */
export class AuthReceiver {
  private readonly hooks: Hooks
  private readonly authorization: Authorization
  private readonly turns: AuthenticationTurns
  private readonly bounds: ConnectBounds
  private readonly exchanges = new WeakMap<Connection, Exchange>()

  constructor({ authorization, bounds, hooks, turns }: AuthParts) {
    this.hooks = hooks
    this.authorization = authorization
    this.turns = turns
    this.bounds = bounds
  }

  /** A CONNECT with an Authentication Method. The connection is parked, and goes on for each AUTH that it waits for. */
  begin(connection: Connection, client: ClientHandle, packet: ConnectPacket): Promise<AuthenticationResult> {
    const { authenticationData, authenticationMethod } = packet.properties
    const method = authenticationMethod!
    const methods = this.hooks.authenticationMethods
    if (methods === undefined || !Object.hasOwn(methods, method)) {
      // [MQTT-4.12.0-1]
      const reasonCode = ReasonCode.BadAuthenticationMethod
      const text = `the Authentication Method ${method} is not known`
      const error = new MqttError('GNATMQ_BAD_CREDENTIALS', text, { reasonCode })
      return Promise.resolve({ answer: { reasonCode, denial: undefined, error }, data: undefined })
    }
    return new Promise((done) => {
      const exchange: Exchange = { method, running: null, awaitsClient: false, awaitsStep: false, done }
      this.exchanges.set(connection, exchange)
      connection.whenClosed(() => {
        if (!exchange.awaitsStep) exchange.done(lost())
      })
      this.start(connection, client, exchange, authenticationData)
    })
  }

  /** AUTH from the client: the next step, or the first of a re-authentication [MQTT-4.12.1-1]. */
  receive(connection: Connection, packet: AuthPacket): void {
    const exchange = this.exchanges.get(connection)
    if (exchange === undefined) throw protocolError('AUTH without an Authentication Method in CONNECT [MQTT-4.12.0-6]')
    if (packet.authenticationMethod !== exchange.method)
      throw protocolError('AUTH with another Authentication Method [MQTT-4.12.0-5]')
    if (packet.reasonCode === ReasonCode.ReAuthenticate) {
      if (!connection.open || exchange.running !== null)
        throw protocolError('AUTH that begins anew before the exchange is over')
      this.reauthenticate(connection, exchange, packet.authenticationData)
      return
    }
    if (exchange.running === null) throw protocolError('AUTH that continues an exchange which is over')
    if (exchange.awaitsClient) {
      exchange.awaitsClient = false
      connection.park()
    }
    this.step(connection, exchange, packet.authenticationData)
  }

  /** In the client's turn, as at CONNECT: what fails here is a guess as well. */
  private reauthenticate(connection: Connection, exchange: Exchange, data: Uint8Array | undefined): void {
    const client = connection.client!
    const begin = (turn: Turn | MqttError): void => {
      if (turn instanceof MqttError) throw turn
      exchange.done = (result) => {
        turn(outcomeOf(result.answer))
        this.endReauthentication(connection, exchange, result)
      }
      this.start(connection, client, exchange, data)
    }
    const turn = this.turns.begin(connection, client)
    if (turn instanceof Promise) connection.parkUntil(turn, begin)
    else begin(turn)
  }

  private start(connection: Connection, client: ClientHandle, exchange: Exchange, data: Uint8Array | undefined): void {
    const begin = this.hooks.authenticationMethods![exchange.method]!
    try {
      const running = begin(client)
      disregard(running)
      exchange.running = running
    } catch (cause) {
      const text = `the Authentication Method ${exchange.method} failed: ${causeText(cause)}`
      const error = new MqttError('GNATMQ_HOOK_FAILED', text, { cause })
      const answer = { reasonCode: ReasonCode.NotAuthorized, denial: undefined, error }
      exchange.done({ answer, data: undefined })
      return
    }
    this.step(connection, exchange, data)
  }

  private step(connection: Connection, exchange: Exchange, data: Uint8Array | undefined): void {
    const answer = this.authorization.authenticationStep(exchange.running!, data)
    if (!(answer instanceof Promise)) {
      if (!connection.closing) this.settle(connection, exchange, answer.verdict, answer.failure)
      return
    }
    exchange.awaitsStep = true
    const settled = answer.then((stepAnswer) => {
      exchange.awaitsStep = false
      // the turn of a client that has gone ends with the step
      if (connection.closing) exchange.done(lost())
      return stepAnswer
    })
    connection.parkUntil(settled, ({ verdict, failure }) => this.settle(connection, exchange, verdict, failure))
  }

  private settle(connection: Connection, exchange: Exchange, verdict: unknown, failure: Answer | null): void {
    const step = verdict as GivenStep
    const isObject = failure === null && typeof step === 'object' && step !== null
    if (isObject && 'continue' in step) {
      const properties = { authenticationMethod: exchange.method, authenticationData: step.continue }
      writeAnswer(connection, encodeAuth(ReasonCode.ContinueAuthentication, properties))
      this.awaitClient(connection, exchange)
      return
    }
    exchange.running = null
    if (isObject && 'success' in step && step.success === true) {
      const client = connection.client!
      const { identity } = step
      if (step.username !== undefined) client.username = step.username
      // the session stays that of the user that has opened it
      const foreign = connection.open ? this.bounds.ownership(client) : undefined
      if (foreign === undefined && identity !== undefined) {
        client.identify(identity)
        // also its subscriptions are those of its rights from now on
        if (connection.open)
          connection.identityChanged(identity.rights !== undefined).catch((error: unknown) => connection.fail(error))
      }
      exchange.done({ answer: foreign === undefined ? allowed : refusalOf(foreign), data: step.data })
    } else
      exchange.done({
        answer: failure ?? readVerdict(step, ReasonCode.NotAuthorized, 'authentication'),
        data: undefined,
      })
  }

  /** CONNECT has parked the connection, but the next AUTH must come in. */
  private awaitClient(connection: Connection, exchange: Exchange): void {
    if (connection.open) return
    exchange.awaitsClient = true
    connection.unpark()
  }

  private endReauthentication(
    connection: Connection,
    exchange: Exchange,
    { answer, data }: AuthenticationResult,
  ): void {
    if (isAllowed(answer)) {
      const properties = data === undefined ? {} : { authenticationData: data }
      writeAnswer(connection, encodeAuth(ReasonCode.Success, { authenticationMethod: exchange.method, ...properties }))
      return
    }
    const { reasonCode } = answer
    const text = 'the re-authentication failed'
    connection.fail(answer.error ?? new MqttError('GNATMQ_NOT_AUTHORIZED', text, { reasonCode }))
  }
}
