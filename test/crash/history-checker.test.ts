import { describe, expect, it } from 'vitest'
import type { QoS } from '../../src/protocol/packet'
import type { HistoryEvent, SentMessage } from './history'
import { checkHistory } from './history-checker'
import { topicMatches } from './topic-matches'

const message = (payload: string, qos: QoS = 1, more: Partial<SentMessage> = {}): SentMessage => ({
  payload,
  topic: 't',
  qos,
  retain: false,
  ...more,
})
const killed: HistoryEvent = { type: 'killed' }
const connecting = (client: string, will?: SentMessage): HistoryEvent => ({
  type: 'connecting',
  client,
  ...(will === undefined ? {} : { will }),
})
const connected = (client: string, present: boolean): HistoryEvent => ({ type: 'connected', client, present })
const disconnecting = (client: string): HistoryEvent => ({ type: 'disconnecting', client })
const subscribing = (filter = 't', qos: QoS = 2): HistoryEvent => ({ type: 'subscribing', client: 's', filter, qos })
const subscribed = (filter = 't', qos: QoS = 2): HistoryEvent => ({ type: 'subscribed', client: 's', filter, qos })
const unsubscribing = (filter = 't'): HistoryEvent => ({ type: 'unsubscribing', client: 's', filter })
const unsubscribed = (filter = 't'): HistoryEvent => ({ type: 'unsubscribed', client: 's', filter })
const publishing = (of: SentMessage, clears = false): HistoryEvent => ({
  type: 'publishing',
  client: 'p',
  message: of,
  clears,
})
const acknowledged = (payload: string): HistoryEvent => ({ type: 'acknowledged', client: 'p', payload })
const received = (payload: string, qos: QoS = 1, topic = 't'): HistoryEvent => ({
  type: 'received',
  client: 's',
  topic,
  payload,
  qos,
})
const read = (payloads: Record<string, string>): HistoryEvent[] => [
  { type: 'reading', reader: 'r' },
  { type: 'read', reader: 'r', payloads },
]
const subscription = [subscribing(), subscribed()]
const sent = (...messages: SentMessage[]): HistoryEvent[] =>
  messages.flatMap((each) => [publishing(each), acknowledged(each.payload)])

describe('the checker of histories', () => {
  it.each<[name: string, events: HistoryEvent[]]>([
    ['nothing', []],
    ['a message that came', [...subscription, ...sent(message('p:1')), received('p:1')]],
    ['a QoS 1 message that came twice', [...subscription, ...sent(message('p:1')), received('p:1'), received('p:1')]],
    ['a message before the subscription', [...sent(message('p:1')), ...subscription]],
    ['a message while subscribing', [subscribing(), ...sent(message('p:1')), subscribed()]],
    ['a message while unsubscribing', [...subscription, unsubscribing(), ...sent(message('p:1')), unsubscribed()]],
    ['a message after the subscription', [...subscription, unsubscribing(), unsubscribed(), ...sent(message('p:1'))]],
    [
      'repetitions of QoS 1 in another order than first deliveries',
      [...subscription, ...sent(message('p:1'), message('p:2')), received('p:1'), received('p:2'), received('p:1')],
    ],
    [
      'QoS 1 and QoS 2 out of order with each other',
      [...subscription, ...sent(message('p:1', 2), message('p:2')), received('p:2'), received('p:1', 2)],
    ],
    [
      'a QoS 1 message of before the subscription that its publisher sent again',
      [
        publishing(message('p:1')),
        publishing(message('p:2')),
        subscribing(),
        received('p:2'),
        killed,
        received('p:1'),
        acknowledged('p:1'),
        acknowledged('p:2'),
      ],
    ],
    ['a session that is there again', [connecting('s'), connected('s', false), connecting('s'), connected('s', true)]],
    ['a session whose first CONNACK was lost', [connecting('s'), killed, connecting('s'), connected('s', true)]],
    ['the last retained message', [...sent(message('p:1', 1, { retain: true })), ...read({ t: 'p:1' })]],
    [
      'a later retained message that is not acknowledged',
      [
        ...sent(message('p:1', 1, { retain: true })),
        publishing(message('p:2', 1, { retain: true })),
        ...read({ t: 'p:2' }),
        acknowledged('p:2'),
      ],
    ],
    [
      'a retained message that was cleared',
      [
        ...sent(message('p:1', 1, { retain: true })),
        publishing(message('p:2', 1, { retain: true }), true),
        acknowledged('p:2'),
        ...read({}),
      ],
    ],
    [
      'the Will of a connection that broke',
      [
        ...subscription,
        connecting('w', message('w:1')),
        connected('w', false),
        killed,
        connecting('w'),
        connected('w', true),
        received('w:1'),
      ],
    ],
    [
      'a Will whose DISCONNECT a crash made forgotten',
      [
        ...subscription,
        connecting('w', message('w:1')),
        connected('w', false),
        disconnecting('w'),
        killed,
        connecting('w'),
        connected('w', true),
        received('w:1'),
      ],
    ],
  ])('finds no fault with %s', (_, events) => {
    expect(checkHistory(events)).toEqual([])
  })

  it.each<[found: string, events: HistoryEvent[]]>([
    ['p:1 of p was never acknowledged', [publishing(message('p:1'))]],
    [
      'p:1 is lost: it was acknowledged and never came to s',
      [...subscription, ...sent(message('p:1', 2), message('p:2', 2)), received('p:2', 2)],
    ],
    [
      'p:1 came 2 times to s with QoS 2',
      [...subscription, ...sent(message('p:1', 2)), received('p:1', 2), received('p:1', 2)],
    ],
    [
      'p:1 came to s after p:2',
      [...subscription, ...sent(message('p:1'), message('p:2')), received('p:2'), received('p:1')],
    ],
    [
      'p:1 came to s after p:2',
      [...subscription, ...sent(message('p:1', 2), message('p:2', 2)), received('p:2', 2), received('p:1', 2)],
    ],
    ['p:1 came to s with QoS 2', [...subscription, ...sent(message('p:1')), received('p:1', 2)]],
    ['p:1 came to s with the topic u', [...subscription, ...sent(message('p:1')), received('p:1', 1, 'u')]],
    ['p:9 came to s, and nobody has published it', [...subscription, received('p:9')]],
    [
      'p:1 came to s, who is not subscribed to t',
      [...subscription, unsubscribing(), unsubscribed(), ...sent(message('p:1')), received('p:1')],
    ],
    ['p:1 came to s, who is not subscribed to t', [...sent(message('p:1')), received('p:1'), ...subscription]],
    [
      'the session of s is lost: Session Present is 0',
      [connecting('s'), connected('s', false), connecting('s'), connected('s', false)],
    ],
    ['s has a session that it never asked for: Session Present is 1', [connecting('s'), connected('s', true)]],
    [
      't retains p:1 instead of p:2',
      [...sent(message('p:1', 1, { retain: true }), message('p:2', 1, { retain: true })), ...read({ t: 'p:1' })],
    ],
    ['t retains nothing instead of p:1', [...sent(message('p:1', 1, { retain: true })), ...read({})]],
    ['u has a retained message that nobody published', read({ u: 'p:1' })],
    [
      't retains p:1 instead of nothing',
      [
        ...sent(message('p:1', 1, { retain: true })),
        publishing(message('p:2', 1, { retain: true }), true),
        acknowledged('p:2'),
        ...read({ t: 'p:1' }),
      ],
    ],
    [
      'w:1 is lost: it was acknowledged and never came to s',
      [
        ...subscription,
        connecting('w', message('w:1')),
        connected('w', false),
        killed,
        connecting('w'),
        connected('w', true),
      ],
    ],
    [
      'w:1 came although its client said DISCONNECT',
      [
        ...subscription,
        connecting('w', message('w:1')),
        connected('w', false),
        disconnecting('w'),
        connecting('w'),
        connected('w', true),
        received('w:1'),
      ],
    ],
    [
      'w:1 came 2 times to s with QoS 2',
      [
        ...subscription,
        connecting('w', message('w:1', 2)),
        connected('w', false),
        killed,
        connecting('w'),
        connected('w', true),
        received('w:1', 2),
        received('w:1', 2),
      ],
    ],
    ['s: was refused with 5', [{ type: 'violation', client: 's', text: 'was refused with 5' }]],
  ])('finds that %s', (found, events) => {
    expect(checkHistory(events)).toEqual([found])
  })
})

describe('topicMatches', () => {
  it.each([
    ['t', 't', true],
    ['t', 'u', false],
    ['t/#', 't', true],
    ['t/#', 't/a/b', true],
    ['t/+', 't/a', true],
    ['t/+', 't', false],
    ['t/+', 't/a/b', false],
    ['t/+/1', 't/a/1', true],
    ['t/+/1', 't/a/2', false],
  ])('of %s and %s is %s', (filter, topic, expected) => {
    expect(topicMatches(filter, topic)).toBe(expected)
  })
})
