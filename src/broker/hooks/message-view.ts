import type { ApplicationMessage } from '../../ports/application-message'
import type { Message } from '../../protocol/message'
import type { MessageProperties, QoS } from '../../protocol/packet'

/**
 * A message as one listener, subscriber or hook sees it: each gets a view of its own, for the message itself is shared by
 * queues, retained messages and packets that are not yet written.
 */
export class MessageView implements ApplicationMessage {
  readonly topic: string
  readonly qos: QoS
  readonly retain: boolean
  readonly expiresAt: number
  readonly publisher: string | undefined
  readonly origin: string | undefined
  readonly #message: Message
  #payload: Buffer | null = null
  #properties: MessageProperties | null = null

  constructor(message: Message) {
    this.topic = message.topic
    this.qos = message.qos
    this.retain = message.retain
    this.expiresAt = message.expiresAt
    this.publisher = message.publisher
    this.origin = message.origin
    this.#message = message
  }

  get payload(): Buffer {
    return (this.#payload ??= Buffer.from(this.#message.payload))
  }

  get properties(): MessageProperties {
    return (this.#properties ??= this.#message.properties)
  }
}
