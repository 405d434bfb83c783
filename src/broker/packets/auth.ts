import { causeText, disregard } from '../../ports/given-values'
import type { AuthenticationExchange, AuthenticationStep } from '../../ports/hooks'
import { encodeAuth } from '../../protocol/codec'
import { MqttError, protocolError } from '../../protocol/mqtt-error'
import type { AuthPacket, ConnectPacket } from '../../protocol/packet'
import { ReasonCode } from '../../protocol/reason-code'
import type { ClientHandle } from '../wire/client-handle'
import type { Connection } from '../wire/connection'
import { type Answer, allowed, readVerdict } from '../hooks/answers'
import type { Gatekeeper } from '../hooks/gatekeeper'
import { writeAnswer } from './answers'
import type { BrokerSettings } from '../wire/settings'

/** Where one connection's enhanced authentication stands. */
export interface Exchange {
  readonly method: string
  /** Null once it has succeeded, until the client asks to authenticate anew. */
  running: AuthenticationExchange | null
  /** Told how it ended; `data` goes into the packet that ends it. */
  done: (answer: Answer, data: Uint8Array | undefined) => void
}

/** AUTH (MQTT 5.0 sections 3.15 and 4.12): as many steps as the method takes, before CONNACK or later. */
export class EnhancedAuthentication {
  private readonly settings: BrokerSettings
  private readonly gatekeeper: Gatekeeper

  constructor(settings: BrokerSettings, gatekeeper: Gatekeeper) {
    this.settings = settings
    this.gatekeeper = gatekeeper
  }

  /** A CONNECT with an Authentication Method. */
  begin(connection: Connection, client: ClientHandle, packet: ConnectPacket, done: Exchange['done']): void {
    const method = packet.properties.authenticationMethod!
    const methods = this.settings.hooks.authenticationMethods
    if (methods === undefined || !Object.hasOwn(methods, method)) {
      // [MQTT-4.12.0-1]
      const error = new MqttError('GNATMQ_BAD_CREDENTIALS', `the Authentication Method ${method} is not known`, {
        reasonCode: ReasonCode.BadAuthenticationMethod,
      })
      done({ reasonCode: ReasonCode.BadAuthenticationMethod, denial: undefined, error }, undefined)
      return
    }
    connection.exchange = { method, running: null, done }
    this.start(connection, client, connection.exchange, packet.properties.authenticationData)
  }

  /** AUTH from the client: the next step, or the first of a re-authentication [MQTT-4.12.1-1]. */
  receive(connection: Connection, packet: AuthPacket): void {
    const { exchange } = connection
    if (exchange === null) throw protocolError('AUTH without an Authentication Method in CONNECT [MQTT-4.12.0-6]')
    if (packet.authenticationMethod !== exchange.method)
      throw protocolError('AUTH with another Authentication Method [MQTT-4.12.0-5]')
    if (packet.reasonCode === ReasonCode.ReAuthenticate) {
      if (!connection.open || exchange.running !== null)
        throw protocolError('AUTH that begins anew before the exchange is over')
      exchange.done = (answer, data) => this.endReauthentication(connection, exchange, answer, data)
      this.start(connection, connection.client!, exchange, packet.authenticationData)
      return
    }
    if (exchange.running === null) throw protocolError('AUTH that continues an exchange which is over')
    this.step(connection, exchange, packet.authenticationData)
  }

  private start(connection: Connection, client: ClientHandle, exchange: Exchange, data: Uint8Array | undefined): void {
    const begin = this.settings.hooks.authenticationMethods![exchange.method]!
    try {
      const running = begin(client)
      disregard(running)
      exchange.running = running
    } catch (cause) {
      const error = new MqttError(
        'GNATMQ_HOOK_FAILED',
        `the Authentication Method ${exchange.method} failed: ${causeText(cause)}`,
        { cause },
      )
      exchange.done({ reasonCode: ReasonCode.NotAuthorized, denial: undefined, error }, undefined)
      return
    }
    this.step(connection, exchange, data)
  }

  private step(connection: Connection, exchange: Exchange, data: Uint8Array | undefined): void {
    const { running } = exchange
    const question = (): unknown => running!.step(data === undefined ? undefined : Buffer.from(data))
    this.gatekeeper.authenticationStep(connection, question, (verdict, failure) => {
      const step = verdict as AuthenticationStep
      if (failure === null && typeof step === 'object' && step !== null && 'continue' in step) {
        const properties = { authenticationMethod: exchange.method, authenticationData: step.continue }
        writeAnswer(connection, encodeAuth(ReasonCode.ContinueAuthentication, properties))
        return
      }
      exchange.running = null
      if (failure === null && typeof step === 'object' && step !== null && 'success' in step && step.success === true) {
        if (step.username !== undefined) connection.client!.username = step.username
        exchange.done(allowed, step.data)
      } else exchange.done(failure ?? readVerdict(step, ReasonCode.NotAuthorized, 'authentication'), undefined)
    })
  }

  private endReauthentication(
    connection: Connection,
    exchange: Exchange,
    answer: Answer,
    data: Uint8Array | undefined,
  ): void {
    if (answer.reasonCode === ReasonCode.Success) {
      const properties = data === undefined ? {} : { authenticationData: data }
      writeAnswer(connection, encodeAuth(ReasonCode.Success, { authenticationMethod: exchange.method, ...properties }))
      return
    }
    connection.fail(
      answer.error ??
        new MqttError('GNATMQ_NOT_AUTHORIZED', 'the re-authentication failed', { reasonCode: answer.reasonCode }),
    )
  }
}
