import type { Client } from '../../ports/client'
import { invalidValue, readFields } from '../../ports/given-values'
import type { SubscribeRequest } from '../../ports/hooks'
import type { Message } from '../../protocol/message'
import type { ConnectPacket, QoS, SubscriptionRequest, UserProperties } from '../../protocol/packet'
import { ReasonCode } from '../../protocol/reason-code'
import type { CommitJournal } from '../commits/commit-journal'
import type { Connection } from '../wire/connection'
import { type Answer, allowed, failedHook, isPromise, readVerdict, withTimeout } from './answers'
import { givenStep } from '../wire/given-reason'
import { MessageView } from './message-view'
import type { PublishView } from './publish-view'
import type { BrokerSettings } from '../wire/settings'

/** What becomes of one filter of a SUBSCRIBE: the QoS to grant, or why not. */
export interface SubscribeAnswer {
  readonly answer: Answer
  readonly qos: QoS
}

type Then<T> = (answer: T) => void

/**
 * Puts the application's questions. An answer at once is passed on at once; while a promise is open, that client's
 * later packets wait and nobody else's do. What throws, rejects or takes too long denies.
 */
export class Gatekeeper {
  private readonly settings: BrokerSettings

  constructor(settings: BrokerSettings) {
    this.settings = settings
  }

  authenticate(connection: Connection, client: Client, packet: ConnectPacket, then: Then<Answer>): void {
    const { authenticate } = this.settings.hooks
    if (authenticate === undefined) {
      then(allowed)
      return
    }
    const code = ReasonCode.NotAuthorized
    const credentials = {
      username: packet.username,
      password: packet.password === undefined ? undefined : Buffer.from(packet.password),
    }
    const denied = packet.username === undefined ? code : ReasonCode.BadUserNameOrPassword
    const read = (verdict: unknown): Answer => readVerdict(verdict, denied, 'authenticate')
    const failed = (cause: unknown): Answer => failedHook('authenticate', cause, code)
    this.ask(connection, () => authenticate(client, credentials), read, failed, then)
  }

  /** `view` belongs to the question until it is answered. */
  authorizePublish(connection: Connection | null, client: Client, view: PublishView, then: Then<Answer>): void {
    const { authorizePublish } = this.settings.hooks
    if (authorizePublish === undefined) {
      then(allowed)
      return
    }
    const read = (verdict: unknown): Answer => readVerdict(verdict, ReasonCode.NotAuthorized, 'authorizePublish')
    this.ask(connection, () => authorizePublish(client, view), read, publishFailed, then)
  }

  /** Goes on with an answer that `authorizePublish` has already given, and that is not plainly true. */
  settlePublish(connection: Connection, verdict: unknown, then: Then<Answer>): void {
    const read = (answer: unknown): Answer => readVerdict(answer, ReasonCode.NotAuthorized, 'authorizePublish')
    this.ask(connection, () => verdict, read, publishFailed, then)
  }

  authorizeSubscribe(
    connection: Connection,
    client: Client,
    subscription: SubscriptionRequest,
    subscriptionIdentifier: number | undefined,
    userProperties: UserProperties,
    then: Then<SubscribeAnswer>,
  ): void {
    const { authorizeSubscribe } = this.settings.hooks
    const { qos } = subscription
    if (authorizeSubscribe === undefined) {
      then({ answer: allowed, qos })
      return
    }
    const request: SubscribeRequest = { ...subscription, subscriptionIdentifier, userProperties }
    const failed = (cause: unknown): SubscribeAnswer => ({ answer: failedHook('authorizeSubscribe', cause), qos })
    this.ask(
      connection,
      () => authorizeSubscribe(client, request),
      (verdict) => readSubscribeVerdict(verdict, qos),
      failed,
      then,
    )
  }

  /** Asks for each message that is about to be sent to the client, in the midst of a step; null where there is no hook. */
  deliveryGate(client: Client, journal: CommitJournal): ((message: Message) => boolean) | null {
    const { authorizeDelivery } = this.settings.hooks
    if (authorizeDelivery === undefined) return null
    return (message) => {
      journal.suspend()
      const failed = (cause: unknown): void => {
        const { error } = failedHook('authorizeDelivery', cause)
        this.settings.logger.warn({ err: error, clientId: client.clientId, topic: message.topic }, error!.message)
      }
      try {
        const answer: unknown = authorizeDelivery(client, new MessageView(message))
        // typed to answer at once; a promise is no, whatever becomes of it
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

  /** A step of an enhanced authentication: `then` gets the hook's own answer, or why there is none. */
  authenticationStep(
    connection: Connection,
    question: () => unknown,
    then: (verdict: unknown, failure: Answer | null) => void,
  ): void {
    const read = (verdict: unknown): { verdict: unknown; failure: Answer | null } => ({
      verdict: givenStep(verdict),
      failure: null,
    })
    const failed = (cause: unknown): { verdict: unknown; failure: Answer } => ({
      verdict: undefined,
      failure: failedHook('authentication', cause),
    })
    this.ask<{ verdict: unknown; failure: Answer | null }>(connection, question, read, failed, ({ verdict, failure }) =>
      then(verdict, failure),
    )
  }

  private ask<T>(
    connection: Connection | null,
    question: () => unknown,
    read: (verdict: unknown) => T,
    failed: (cause: unknown) => T,
    then: Then<T>,
  ): void {
    let verdict: unknown
    let answer: T | null = null
    try {
      verdict = question()
      if (!isPromise(verdict)) answer = read(verdict)
    } catch (cause) {
      answer = failed(cause)
    }
    if (answer !== null) {
      // the hook itself may have ended the connection: then nobody waits for the answer
      if (connection === null || !connection.closing) then(answer)
      return
    }
    connection?.park()
    void withTimeout(verdict as PromiseLike<unknown>, this.settings.clock, this.settings.hookTimeoutMs)
      .then(read)
      .catch(failed)
      .then((answer) => {
        try {
          if (connection === null || !connection.closing) then(answer)
        } catch (error) {
          if (connection === null) this.settings.logger.error({ err: error }, 'unexpected error')
          else connection.fail(error)
        }
        connection?.unpark()
      })
  }
}

const publishFailed = (cause: unknown): Answer => failedHook('authorizePublish', cause)

function readSubscribeVerdict(verdict: unknown, asked: QoS): SubscribeAnswer {
  if (typeof verdict === 'object' && verdict !== null && 'qos' in verdict && !('reasonCode' in verdict)) {
    const { qos } = readFields('answer', verdict, ['qos'])
    if (qos !== 0 && qos !== 1 && qos !== 2) throw invalidValue('qos', '0, 1 or 2', qos)
    return { answer: allowed, qos: qos < asked ? qos : asked }
  }
  return { answer: readVerdict(verdict, ReasonCode.NotAuthorized, 'authorizeSubscribe'), qos: asked }
}
