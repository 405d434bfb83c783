import { type Channel, channel } from 'node:diagnostics_channel'

/** Events that a message causes, whose listeners are looked for once a chunk. */
const names = Object.freeze({
  published: 'gnatmq:message:published',
  messageDropped: 'gnatmq:message:dropped',
  messageAcknowledged: 'gnatmq:message:acknowledged',
})

export type MessageEvent = keyof typeof names

/** Whether the events of messages have listeners. Asking an emitter for each message takes as long as a short message does. */
export class MessageListeners {
  private readonly heard: Record<MessageEvent, boolean> = {
    published: false,
    messageDropped: false,
    messageAcknowledged: false,
  }
  private readonly published: Channel = channel(names.published)
  private readonly dropped: Channel = channel(names.messageDropped)
  private readonly acknowledged: Channel = channel(names.messageAcknowledged)

  /** Listeners have come or gone. */
  update(count: (event: MessageEvent) => number): void {
    for (const event of Object.keys(names) as MessageEvent[]) this.heard[event] = count(event) > 0
  }

  get areAny(): boolean {
    const { heard } = this
    return (
      heard.published ||
      heard.messageDropped ||
      this.areOfAcknowledgements ||
      this.published.hasSubscribers ||
      this.dropped.hasSubscribers
    )
  }

  get areOfAcknowledgements(): boolean {
    return this.heard.messageAcknowledged || this.acknowledged.hasSubscribers
  }
}
