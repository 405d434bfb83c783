import type { QoS } from '../../src/protocol/packet'

/** A message that somebody publishes. Its payload is its identity: no two messages of a history have the same. */
export interface SentMessage {
  readonly payload: string
  readonly topic: string
  readonly qos: QoS
  readonly retain: boolean
}

/** One thing that the clients did or saw, in the order in which this process did or saw it. */
export type HistoryEvent =
  /** The broker's process was killed, whatever it was doing. */
  | { readonly type: 'killed' }
  /** CONNECT left, with this Will. */
  | { readonly type: 'connecting'; readonly client: string; readonly will?: SentMessage }
  | { readonly type: 'connected'; readonly client: string; readonly present: boolean }
  /** DISCONNECT left: the Will is not to be published. */
  | { readonly type: 'disconnecting'; readonly client: string }
  /** The connection is gone, however that came. */
  | { readonly type: 'disconnected'; readonly client: string }
  | { readonly type: 'subscribing'; readonly client: string; readonly filter: string; readonly qos: QoS }
  | { readonly type: 'subscribed'; readonly client: string; readonly filter: string; readonly qos: QoS }
  | { readonly type: 'unsubscribing'; readonly client: string; readonly filter: string }
  | { readonly type: 'unsubscribed'; readonly client: string; readonly filter: string }
  /** The first PUBLISH of a message left. An empty `retain` message clears its topic. */
  | { readonly type: 'publishing'; readonly client: string; readonly message: SentMessage; readonly clears?: boolean }
  /** PUBACK, or the first PUBREC. */
  | { readonly type: 'acknowledged'; readonly client: string; readonly payload: string }
  /** The client took a message on: each PUBLISH of QoS 0 and 1, each new one of QoS 2. */
  | {
      readonly type: 'received'
      readonly client: string
      readonly topic: string
      readonly payload: string
      readonly qos: QoS
    }
  /** A reader of retained messages begins to look, and has seen all there are; `payloads` by topic. */
  | { readonly type: 'reading'; readonly reader: string }
  | { readonly type: 'read'; readonly reader: string; readonly payloads: Readonly<Record<string, string>> }
  /** Something that the specification forbids, seen by a client. */
  | { readonly type: 'violation'; readonly client: string; readonly text: string }

/** Everything that happened, across all crashes. */
export class History {
  readonly events: HistoryEvent[] = []
  private readonly waiting: { count: number; resolve: () => void }[] = []

  add(event: HistoryEvent): void {
    this.events.push(event)
    for (let i = this.waiting.length - 1; i >= 0; i--)
      if (this.waiting[i]!.count <= this.events.length) this.waiting.splice(i, 1)[0]!.resolve()
  }

  /** Resolves after `count` more events. */
  further(count: number): Promise<void> {
    if (count <= 0) return Promise.resolve()
    return new Promise((resolve) => this.waiting.push({ count: this.events.length + count, resolve }))
  }
}
