import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { QoS } from '../../src/protocol/packet'
import { matches, parseSharedFilter } from '../../src/protocol/topic'
import type { Route } from '../../src/routing/route'
import { Router } from '../../src/routing/router'
import type { SubscriptionOptions } from '../../src/routing/subscription'
import { filters, topics } from './random-topics'

const plain: SubscriptionOptions = {
  qos: 0,
  noLocal: false,
  retainAsPublished: false,
  retainHandling: 0,
  subscriptionIdentifier: 0,
}

class TestRouter {
  readonly router: Router<string>

  constructor(capacity = 64, seed = 1) {
    this.router = new Router<string>(capacity, 129, seed, (bytes, start, end) => {
      if (end === start) throw new Error('the topic is refused')
      if (bytes.length === 0) throw new Error('there are no bytes')
    })
  }

  /** True if the filter is new for this subscriber. */
  subscribe(subscriber: string, filter: string, options: Partial<SubscriptionOptions> = {}): boolean {
    const former = this.router.subscription(subscriber, filter)
    const now = this.router.subscribe(subscriber, filter, parseSharedFilter(filter), { ...plain, ...options })
    expect(this.router.subscription(subscriber, filter)).toBe(now)
    expect(former === undefined || former === now).toBe(true)
    return former === undefined
  }

  /** The topic lies between other bytes, as it does in a packet. */
  route(topic: string): Route<string> {
    const bytes = Buffer.from(`xx${topic}yy`)
    return this.router.route(bytes, 2, bytes.length - 2)
  }

  /** A topic that comes again has a route that is kept. */
  keptRoute(topic: string): Route<string> {
    this.route(topic)
    return this.route(topic)
  }

  /** Plain receivers and what each was granted. */
  grants(topic: string): Record<string, QoS> {
    const { atMostOnce, acknowledged, grants } = this.route(topic)
    return Object.fromEntries([...atMostOnce.map((one) => [one, 0]), ...acknowledged.map((one, n) => [one, grants[n]])])
  }

  /** Filters that the trie still holds. */
  get nodes(): number {
    return (this.router as unknown as { trie: { size: number } }).trie.size
  }
}

describe('a route', () => {
  it('has one receiver for each that matches, with the highest QoS of its filters', () => {
    const router = new TestRouter()
    router.subscribe('x', 'a/+', { qos: 1 })
    router.subscribe('x', 'a/#', { qos: 2 })
    router.subscribe('x', '#', { qos: 0 })
    router.subscribe('y', 'a/b')
    router.subscribe('y', 'b/#', { qos: 2 })
    expect(router.grants('a/b')).toEqual({ x: 2, y: 0 })
    const { atMostOnce, acknowledged, simple } = router.route('a/b')
    expect([atMostOnce, acknowledged, simple]).toEqual([['y'], ['x'], true])
  })

  it('is empty where nobody listens', () => {
    expect(new TestRouter().route('a').empty).toBe(true)
  })

  it('has its topic as text and as bytes of its own', () => {
    const bytes = Buffer.from('€/b')
    const route = new TestRouter().router.route(bytes, 0, bytes.length)
    bytes.fill(0)
    expect([route.topic, Buffer.from(route.topicBytes).toString()]).toEqual(['€/b', '€/b'])
  })

  it('is refused for a topic that may not be, each time, and nothing of it is kept', () => {
    const router = new TestRouter()
    for (const _ of [1, 2]) expect(() => router.route('')).toThrow('the topic is refused')
  })

  it('tells what MQTT 5.0 subscriptions want besides', () => {
    const router = new TestRouter()
    router.subscribe('x', 'a/+', { qos: 1, subscriptionIdentifier: 7 })
    router.subscribe('x', 'a/#', { qos: 2, subscriptionIdentifier: 8, retainAsPublished: true, noLocal: true })
    router.subscribe('x', '#')
    router.subscribe('y', 'a/b', { noLocal: true })
    router.subscribe('z', 'a/b', { qos: 1 })
    const route = router.route('a/b')
    const special = route.special.map(({ subscriptionIdentifiers, own: _, ...rest }) => ({
      ...rest,
      identifiers: [...subscriptionIdentifiers].sort(),
    }))
    expect(special).toHaveLength(2)
    expect(special).toEqual(
      expect.arrayContaining([
        { subscriber: 'x', qos: 2, noLocal: false, retainAsPublished: true, identifiers: [7, 8] },
        { subscriber: 'y', qos: 0, noLocal: true, retainAsPublished: false, identifiers: [] },
      ]),
    )
    expect([route.acknowledged, route.atMostOnce, route.simple]).toEqual([['z'], [], false])
  })

  it('tells what a publisher gets of its own messages where only some of its subscriptions have No Local', () => {
    const router = new TestRouter()
    router.subscribe('x', 'a/+', { qos: 1, subscriptionIdentifier: 7 })
    router.subscribe('x', 'a/#', { qos: 2, subscriptionIdentifier: 8, retainAsPublished: true, noLocal: true })
    expect(router.route('a/b').special[0]!.own).toEqual({
      subscriber: 'x',
      qos: 1,
      noLocal: false,
      retainAsPublished: false,
      subscriptionIdentifiers: [7],
      own: null,
    })
    expect(router.route('a').special[0]!.own).toBeNull()
  })

  it('has the receivers that the specification says match, through every change', () => {
    const subscriber = fc.constantFrom('x', 'y', 'z', '__proto__', 'constructor')
    const step = fc.oneof(
      {
        weight: 4,
        arbitrary: fc.record({
          act: fc.constant('subscribe' as const),
          subscriber,
          filter: filters,
          qos: fc.constantFrom<QoS>(0, 1, 2),
        }),
      },
      {
        weight: 2,
        arbitrary: fc.record({
          act: fc.constant('unsubscribe' as const),
          subscriber,
          filter: filters,
          qos: fc.constant<QoS>(0),
        }),
      },
      {
        weight: 1,
        arbitrary: fc.record({
          act: fc.constant('removeAll' as const),
          subscriber,
          filter: fc.constant(''),
          qos: fc.constant<QoS>(0),
        }),
      },
    )
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 40 }),
        fc.array(topics, { minLength: 1, maxLength: 12 }),
        fc.constantFrom(8, 64),
        (steps, published, capacity) => {
          const router = new TestRouter(capacity)
          const model = new Map<string, { subscriber: string; filter: string; qos: QoS }>()
          for (const { act, subscriber, filter, qos } of steps) {
            const key = `${subscriber} ${filter}`
            if (act === 'subscribe') {
              expect(router.subscribe(subscriber, filter, { qos })).toBe(!model.has(key))
              model.set(key, { subscriber, filter, qos })
            } else if (act === 'unsubscribe')
              expect(router.router.unsubscribe(subscriber, filter)).toBe(model.delete(key))
            else {
              router.router.removeAll(subscriber)
              for (const [own, entry] of model) if (entry.subscriber === subscriber) model.delete(own)
            }
            for (const topic of published) {
              const wanted = new Map<string, QoS>()
              for (const entry of model.values())
                if (matches(entry.filter, topic))
                  wanted.set(entry.subscriber, Math.max(entry.qos, wanted.get(entry.subscriber) ?? 0) as QoS)
              const { atMostOnce, acknowledged, grants } = router.route(topic)
              const found = [
                ...atMostOnce.map((one) => [one, 0] as const),
                ...acknowledged.map((one, n) => [one, grants[n]!] as const),
              ]
              expect(found.sort()).toEqual([...wanted].sort())
            }
            expect(router.router.subscriptionCount).toBe(model.size)
          }
        },
      ),
      { numRuns: 300 },
    )
  })
})

describe('a change of subscriptions', () => {
  it.each<[string, string, boolean]>([
    ['a/b', 'a/b', true],
    ['a/+', 'a/b', true],
    ['a/#', 'a', true],
    ['#', 'a/b', true],
    ['+/+', '/', true],
    ['a/c', 'a/b', false],
    ['a/b/c', 'a/b', false],
    ['b/#', 'a/b', false],
    ['+', 'a/b', false],
    ['#', '$SYS/a', false],
    ['+/a', '$SYS/a', false],
    ['$SYS/#', '$SYS/a', true],
    ['€/ü', '€/ü', true],
    ['€/u', '€/ü', false],
    ['$share/group/a/+', 'a/b', true],
    ['$share/group/c', 'a/b', false],
  ])('to %s makes the route of %s stale: %s', (filter, topic, stale) => {
    const router = new TestRouter()
    const changes = [
      () => router.subscribe('x', filter),
      () => router.subscribe('x', filter, { qos: 1 }),
      () => router.router.unsubscribe('x', filter),
      () => router.subscribe('x', filter),
      () => router.router.removeAll('x'),
    ]
    for (const change of changes) {
      const route = router.keptRoute(topic)
      expect(route.stale).toBe(false)
      change()
      expect(route.stale).toBe(stale)
    }
  })

  it('of the application makes a route stale too', () => {
    const router = new TestRouter()
    const local = { filter: 'a/+' }
    const [near, far] = [router.keptRoute('a/b'), router.keptRoute('b')]
    router.router.subscribeLocal(local)
    expect([near.stale, far.stale]).toEqual([true, false])
    expect([router.route('a/b').locals, router.route('a/b').simple]).toEqual([[local], false])
    router.router.unsubscribeLocal(local)
    expect(near.stale).toBe(true)
    expect([router.route('a/b').locals, router.nodes]).toEqual([[], 0])
  })

  it('keeps the same route for the same topic', () => {
    const router = new TestRouter()
    const route = router.keptRoute('a/b')
    router.subscribe('x', 'a/b')
    expect(router.route('a/b')).toBe(route)
    expect(route.atMostOnce).toEqual(['x'])
  })

  it('that fails changes nothing', () => {
    const router = new TestRouter()
    router.subscribe('x', 'a')
    expect(router.router.unsubscribe('x', 'b')).toBe(false)
    expect(router.router.unsubscribe('y', 'a')).toBe(false)
    router.router.removeAll('y')
    router.router.unsubscribeLocal({ filter: 'a' })
    expect([router.grants('a'), router.router.subscriptionCount]).toEqual([{ x: 0 }, 1])
  })
})

describe('more topics than the cache holds', () => {
  it('push others out, and all are still routed right', () => {
    const router = new TestRouter(8)
    for (let n = 0; n < 100; n++) router.subscribe(`x${n}`, `t/${n}`)
    router.subscribe('all', 't/+', { qos: 1 })
    for (const round of [1, 2, 3])
      for (let n = 0; n < 100; n++) expect(router.grants(`t/${n}`), `round ${round}`).toEqual({ [`x${n}`]: 0, all: 1 })
  })

  it('do not leave a route that nobody invalidates', () => {
    const router = new TestRouter(8)
    for (let n = 0; n < 100; n++) router.keptRoute(`t/${n}`)
    router.subscribe('x', '#')
    for (let n = 0; n < 100; n++) expect(router.grants(`t/${n}`)).toEqual({ x: 0 })
  })

  it('make no difference to one who remembers the last route', () => {
    const router = new TestRouter(8)
    const topics = Array.from({ length: 40 }, (_, n) => `t/${n}`)
    const bytes = topics.map((topic) => Buffer.from(topic))
    const remembered = topics.map((topic) => router.keptRoute(topic))
    const again = (n: number, last: number): Route<string> =>
      router.router.routeAfter(remembered[last]!, bytes[n]!, 0, bytes[n]!.length)
    router.subscribe('x', '#')
    for (const n of topics.keys()) {
      expect(again(n, n).atMostOnce).toEqual(['x'])
      expect(again(n, (n + 1) % 40).topic).toBe(topics[n])
    }
    router.router.removeAll('x')
    for (const n of topics.keys()) expect(again(n, n).empty).toBe(true)
  })

  it('are the same to publishers who go round them, while subscriptions come and go', () => {
    const topicNumber = fc.nat(11)
    const change = fc.record({ filter: fc.constantFrom('t/1', 't/7', 't/+', '#', 't/11'), add: fc.boolean() })
    fc.assert(
      fc.property(fc.array(fc.tuple(topicNumber, fc.option(change)), { minLength: 30, maxLength: 120 }), (steps) => {
        const router = new TestRouter(8)
        const fresh = new TestRouter(8)
        let last: Route<string> | null = null
        for (const [n, wanted] of steps) {
          if (wanted !== null)
            for (const { router: each } of [router, fresh])
              if (wanted.add) each.subscribe('x', wanted.filter, undefined, plain)
              else each.unsubscribe('x', wanted.filter)
          const bytes = Buffer.from(`t/${n}`)
          last = router.router.routeAfter(last, bytes, 0, bytes.length)
          expect([last.topic, last.atMostOnce]).toEqual([`t/${n}`, fresh.route(`t/${n}`).atMostOnce])
        }
      }),
    )
  })

  it('that are too many to look at are all stale after a change that may touch them', () => {
    const router = new TestRouter(16_384)
    for (let n = 0; n < 10_000; n++) router.keptRoute(`t/${n}`)
    router.subscribe('x', 't/+')
    for (let n = 0; n < 10_000; n++)
      if (router.route(`t/${n}`).atMostOnce.length !== 1) throw new Error(`t/${n} has no receiver`)
    router.router.unsubscribe('x', 't/+')
    for (let n = 0; n < 10_000; n++) if (!router.route(`t/${n}`).empty) throw new Error(`t/${n} has a receiver`)
  })

  it('are no matter of the seed', () => {
    for (const seed of [0, -1, 1 << 30, 0x7fffffff]) {
      const router = new TestRouter(16, seed)
      router.subscribe('x', 'a/b')
      expect([router.grants('a/b'), router.grants('a/c')]).toEqual([{ x: 0 }, {}])
    }
  })
})

describe('shared subscriptions', () => {
  it('form one group for each Share Name and filter', () => {
    const router = new TestRouter()
    for (const [subscriber, filter] of [
      ['x', '$share/one/a/+'],
      ['y', '$share/one/a/+'],
      ['x', '$share/two/a/+'],
      ['z', '$share/one/a/b'],
      ['z', '$share/one/c'],
    ] as const)
      router.subscribe(subscriber, filter)
    router.subscribe('w', 'a/b')
    const route = router.route('a/b')
    const groups = route.groups.map(({ filter, members }) => [filter, members.map(({ subscriber }) => subscriber)])
    expect(groups.sort()).toEqual([
      ['$share/one/a/+', ['x', 'y']],
      ['$share/one/a/b', ['z']],
      ['$share/two/a/+', ['x']],
    ])
    expect([route.atMostOnce, route.simple]).toEqual([['w'], false])
  })

  it('are subscriptions of their own beside those that are not shared', () => {
    const router = new TestRouter()
    router.subscribe('x', 'a', { qos: 1 })
    router.subscribe('x', '$share/g/a', { qos: 2 })
    expect(router.grants('a')).toEqual({ x: 1 })
    expect([...router.router.subscriptionsOf('x')].map(({ filter }) => filter)).toEqual(['a', '$share/g/a'])
    router.router.unsubscribe('x', 'a')
    expect([router.grants('a'), router.route('a').groups.length]).toEqual([{}, 1])
  })

  it('vanish with their last member', () => {
    const router = new TestRouter()
    router.subscribe('x', '$share/g/a')
    router.subscribe('y', '$share/g/a')
    router.router.unsubscribe('x', '$share/g/a')
    expect(router.router.group('a', 'g')?.members.map(({ subscriber }) => subscriber)).toEqual(['y'])
    router.router.removeAll('y')
    expect([router.router.group('a', 'g'), router.route('a').empty, router.nodes]).toEqual([undefined, true, 0])
  })

  it.each(['__proto__', 'constructor', 'toString'])('may be called %s', (name) => {
    const router = new TestRouter()
    router.subscribe(name, `$share/${name}/${name}`)
    expect(router.route(name).groups.map(({ shareName }) => shareName)).toEqual([name])
    expect(router.router.group(name, 'other')).toBeUndefined()
  })
})

describe('names that JavaScript knows', () => {
  const names = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'valueOf']

  it('are ordinary levels', () => {
    const router = new TestRouter()
    for (const name of names) expect(router.route(name).empty, name).toBe(true)
    for (const name of names) router.subscribe('x', `${name}/${name}`)
    for (const name of names) expect(router.grants(`${name}/${name}`)).toEqual({ x: 0 })
    for (const name of names) expect(router.route(name).empty, name).toBe(true)
    for (const name of names) router.router.unsubscribe('x', `${name}/${name}`)
    for (const name of names) expect(router.route(`${name}/${name}`).empty).toBe(true)
    expect(router.nodes).toBe(0)
  })

  it('are ordinary subscribers', () => {
    const router = new TestRouter()
    for (const name of names) expect(router.router.countOf(name)).toBe(0)
    for (const name of names) router.subscribe(name, '#')
    expect(router.route('a').atMostOnce).toEqual(names)
  })
})

describe('the subscriptions of one subscriber', () => {
  it('can be looked at and counted', () => {
    const router = new TestRouter()
    router.subscribe('x', 'a', { qos: 1 })
    router.subscribe('x', 'b/+')
    expect([router.router.countOf('x'), router.router.countOf('y'), router.router.subscriptionCount]).toEqual([2, 0, 2])
    expect(router.router.subscription('x', 'a')).toMatchObject({ filter: 'a', qos: 1 })
    expect(router.router.subscription('x', 'c')).toBeUndefined()
    expect([...router.router.subscriptionsOf('y')]).toEqual([])
  })

  it('leave nothing behind when they go, in any order', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(filters, { minLength: 1, maxLength: 15 }),
        fc.array(topics, { maxLength: 5 }),
        fc.boolean(),
        (list, published, atOnce) => {
          const router = new TestRouter()
          for (const filter of list) for (const subscriber of ['x', 'y']) router.subscribe(subscriber, filter)
          for (const filter of list) router.subscribe('x', `$share/g/${filter}`)
          for (const topic of published) router.route(topic)
          for (const subscriber of ['y', 'x']) {
            if (atOnce) router.router.removeAll(subscriber)
            else
              for (const { filter } of [...router.router.subscriptionsOf(subscriber)].reverse())
                router.router.unsubscribe(subscriber, filter)
          }
          expect([router.nodes, router.router.subscriptionCount, router.router.countOf('x')]).toEqual([0, 0, 0])
          const { trie } = router.router as unknown as { trie: { wildcards: { get_trie(): Map<string, unknown> } } }
          expect(trie.wildcards.get_trie().size).toBe(0)
          for (const topic of published) expect(router.route(topic).empty).toBe(true)
        },
      ),
    )
  })
})

describe('the interest in filters', () => {
  it('is told with the first subscriber of a filter and with its last, of whatever kind', () => {
    const { router } = new TestRouter()
    const told: string[] = []
    router.onInterest = (filter, isWanted) => told.push(`${isWanted ? '+' : '-'}${filter}`)
    const subscribe = (name: string, filter: string) => router.subscribe(name, filter, parseSharedFilter(filter), plain)
    const local = { filter: 'a/+' }
    subscribe('x', 'a/+')
    subscribe('x', 'a/+')
    subscribe('y', '$share/s/a/+')
    router.subscribeLocal(local)
    subscribe('y', 'b')
    router.unsubscribe('x', 'a/+')
    router.unsubscribe('x', 'a/+')
    router.unsubscribeLocal(local)
    expect(told).toEqual(['+a/+', '+b'])
    router.removeAll('y')
    expect(told).toEqual(['+a/+', '+b', '-a/+', '-b'])
  })
})
