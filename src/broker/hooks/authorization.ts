import type { Client } from '../../ports/client'
import type { Clock } from '../../ports/clock'
import { givenString, invalidValue, isPromise, readFields } from '../../ports/given-values'
import type { AuthenticationExchange, Hooks, SubscribeRequest } from '../../ports/hooks'
import type { Logger } from '../../ports/logger'
import { isApplicationIdentifier } from '../../protocol/application-identifier'
import type { Message } from '../../protocol/message'
import { MqttError } from '../../protocol/mqtt-error'
import type { ConnectPacket, QoS, SubscriptionRequest, UserProperties } from '../../protocol/packet'
import { ReasonCode } from '../../protocol/reason-code'
import { parseSharedFilter } from '../../protocol/topic'
import type { IdentityFields } from '../wire/client-extras'
import { ClientHandle } from '../wire/client-handle'
import { givenIdentity, identityNames } from '../wire/given-identity'
import { givenStep } from '../wire/given-reason'
import { type Answer, allowed, denied, failedHook, isAllowed, readVerdict, refusalOf } from './answers'
import type { HookRunner } from './hook-runner'
import { MessageView } from './message-view'
import type { PublishView } from './publish-view'

/** The answer about one filter of a SUBSCRIBE. */
export interface SubscribeAnswer {
  readonly answer: Answer
  /** The QoS to grant. */
  readonly qos: QoS
}

/** The answer of an authentication method: its own, or why there is none. */
export interface StepAnswer {
  readonly verdict: unknown
  readonly failure: Answer | null
}

/** Where the application is asked in the midst of a step: what it does meanwhile is part of that step. */
export interface StepJournal {
  suspend(): void
  resume(): void
}

/** Whether a client may be sent a message with this QoS. */
export type DeliveryGate = (message: Message, qos: QoS) => boolean

/** A client whose identity is not settled yet. */
type NameableClient = Client & { username: string | undefined; identify(identity: IdentityFields): void }

/** Asks the application what clients may do. Every answer comes at once or as a promise that does not reject. */
export class Authorization {
  private readonly hooks: Hooks
  private readonly runner: HookRunner
  private readonly logger: Logger
  private readonly clock: Clock

  constructor(hooks: Hooks, runner: HookRunner, logger: Logger, clock: Clock) {
    this.hooks = hooks
    this.runner = runner
    this.logger = logger
    this.clock = clock
  }

  /** Gives the client the identity that the hook answers with. */
  authenticate(client: NameableClient, packet: ConnectPacket): Answer | Promise<Answer> {
    const { authenticate } = this.hooks
    if (authenticate === undefined) return allowed
    const credentials = {
      username: packet.username,
      password: packet.password === undefined ? undefined : Buffer.from(packet.password),
    }
    const denied = packet.username === undefined ? ReasonCode.NotAuthorized : ReasonCode.BadUserNameOrPassword
    return this.runner.ask(
      () => authenticate(client, credentials),
      (verdict) => readAuthenticateVerdict(verdict, denied, client, this.clock.wallTime()),
      (cause) => failedAuthentication('authenticate', cause),
    )
  }

  /** `view` must stay valid until the answer. */
  publish(client: Client, view: PublishView): Answer | Promise<Answer> {
    const { authorizePublish } = this.hooks
    if (client instanceof ClientHandle && !client.mayPublish(view.topic, view.qos, view.retain)) return denied
    if (authorizePublish === undefined) return allowed
    return this.readPublish(() => authorizePublish(client, view))
  }

  /** The answer that `verdict`, which `authorizePublish` has given already, stands for. */
  readPublish(verdict: () => unknown): Answer | Promise<Answer> {
    return this.runner.ask(verdict, readPublishVerdict, publishFailed)
  }

  /** Whether anything has to be asked about subscriptions of a client. */
  asksSubscribe(client: ClientHandle): boolean {
    return this.hooks.authorizeSubscribe !== undefined || client.rights !== undefined
  }

  /** What the rights of a client say of a subscription, without the hook. */
  entitle(client: Client, filter: string, qos: QoS): SubscribeAnswer {
    const rights = client instanceof ClientHandle ? client.extras?.rights : undefined
    const granted = rights?.compiled.subscribe(parseSharedFilter(filter)?.filter ?? filter, qos) ?? true
    if (granted === false) return { answer: denied, qos }
    return { answer: allowed, qos: granted === true ? qos : granted.qos }
  }

  subscribe(
    client: Client,
    subscription: SubscriptionRequest,
    subscriptionIdentifier: number | undefined,
    userProperties: UserProperties,
  ): SubscribeAnswer | Promise<SubscribeAnswer> {
    const { authorizeSubscribe } = this.hooks
    const entitled = this.entitle(client, subscription.filter, subscription.qos)
    const { qos } = entitled
    if (authorizeSubscribe === undefined || !isAllowed(entitled.answer)) return entitled
    if (isApplicationIdentifier(client.clientId)) return entitled
    const shared = parseSharedFilter(subscription.filter)
    const request: SubscribeRequest = {
      ...subscription,
      topicFilter: shared?.filter ?? subscription.filter,
      shareName: shared?.shareName,
      subscriptionIdentifier,
      userProperties,
    }
    return this.runner.ask(
      () => authorizeSubscribe(client, request),
      (verdict) => readSubscribeVerdict(verdict, qos),
      (cause) => ({ answer: failedHook('authorizeSubscribe', cause), qos }),
    )
  }

  /** Asked for each message that is about to be sent to the client, in the midst of a step; null where nothing asks. */
  deliveryGate(client: Client, journal: StepJournal): DeliveryGate | null {
    const rights = client instanceof ClientHandle ? client.extras?.rights?.compiled : undefined
    const asked = this.deliveryHook(client, journal)
    if (rights?.guardsDelivery !== true) return asked
    return (message, qos) => rights.deliver(message.topic, qos) && (asked === null || asked(message, qos))
  }

  private deliveryHook(client: Client, journal: StepJournal): DeliveryGate | null {
    const { authorizeDelivery } = this.hooks
    if (authorizeDelivery === undefined || isApplicationIdentifier(client.clientId)) return null
    return (message) => {
      journal.suspend()
      const failed = (cause: unknown): void => {
        const { error } = failedHook('authorizeDelivery', cause)
        this.logger.warn({ err: error, clientId: client.clientId, topic: message.topic }, error!.message)
      }
      try {
        const answer: unknown = authorizeDelivery(client, new MessageView(message))
        // typed to answer at once; a promise denies, however it settles
        if (isPromise(answer)) answer.then(() => failed(new TypeError('it must answer at once')), failed)
        return answer === true
      } catch (cause) {
        failed(cause)
        return false
      } finally {
        journal.resume()
      }
    }
  }

  /** One step of an enhanced authentication. */
  authenticationStep(exchange: AuthenticationExchange, data: Uint8Array | undefined): StepAnswer | Promise<StepAnswer> {
    return this.runner.ask<StepAnswer>(
      () => exchange.step(data === undefined ? undefined : Buffer.from(data)),
      (verdict) => ({ verdict: givenStep(verdict, this.clock.wallTime()), failure: null }),
      (cause) => ({ verdict: undefined, failure: failedAuthentication('authentication', cause) }),
    )
  }
}

/** An identity that has expired is no failure of the hook. */
function failedAuthentication(name: string, cause: unknown): Answer {
  const isExpired = cause instanceof MqttError && cause.code === 'GNATMQ_IDENTITY_EXPIRED'
  return isExpired ? refusalOf(cause) : failedHook(name, cause, ReasonCode.NotAuthorized)
}

function readAuthenticateVerdict(verdict: unknown, denied: number, client: NameableClient, wallTime: number): Answer {
  if (typeof verdict !== 'object' || verdict === null || !('success' in verdict))
    return readVerdict(verdict, denied, 'authenticate')
  const names = ['success', 'username', 'data', ...identityNames] as const
  const { success, username, data, ...terms } = readFields('the answer', verdict, names)
  if (success !== true) throw invalidValue('success', 'true', success)
  const identity = givenIdentity(terms, wallTime)
  if (username !== undefined) client.username = givenString('username', username)
  if (data !== undefined) client.data = data
  if (identity !== undefined) client.identify(identity)
  return allowed
}

const readPublishVerdict = (verdict: unknown): Answer =>
  readVerdict(verdict, ReasonCode.NotAuthorized, 'authorizePublish')

const publishFailed = (cause: unknown): Answer => failedHook('authorizePublish', cause)

function readSubscribeVerdict(verdict: unknown, asked: QoS): SubscribeAnswer {
  if (typeof verdict === 'object' && verdict !== null && 'qos' in verdict && !('reasonCode' in verdict)) {
    const { qos } = readFields('the answer', verdict, ['qos'])
    if (qos !== 0 && qos !== 1 && qos !== 2) throw invalidValue('qos', '0, 1 or 2', qos)
    return { answer: allowed, qos: qos < asked ? qos : asked }
  }
  return { answer: readVerdict(verdict, ReasonCode.NotAuthorized, 'authorizeSubscribe'), qos: asked }
}
