import { describe, expect, it } from 'vitest'
import type { Right } from '../../src/ports/rights'
import { covers } from '../../src/protocol/covers'
import type { QoS } from '../../src/protocol/packet'
import { topicFilterError } from '../../src/protocol/topic'
import { compileRights } from '../../src/rights/compile-rights'

/** Random numbers that are the same in each run. */
function randomOf(seed: number): (n: number) => number {
  let state = seed
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * n)
  }
}

const words = ['a', 'b', '', '$s', '+', '#']

/** All filters of up to three levels over a small alphabet. */
const filters: string[] = []
for (const a of words) {
  filters.push(a)
  for (const b of words) {
    filters.push(`${a}/${b}`)
    for (const c of words) filters.push(`${a}/${b}/${c}`)
  }
}
const valid = filters.filter((filter) => filter !== '' && topicFilterError(filter, 10) === undefined)
/** One level more than filters have: what only `#` matches. */
const topics = valid.flatMap((filter) => [filter, `${filter}/a`, `${filter}/c`]).filter((topic) => !/[+#]/.test(topic))
const matching = new Map(valid.map((filter) => [filter, new Set(topics.filter((topic) => covers(filter, topic)))]))
const overlap = (a: string, b: string): boolean => [...matching.get(a)!].some((topic) => matching.get(b)!.has(topic))

/** What the rights say, one after the other. */
function naive(rights: readonly Right[], action: Right['action'], topic: string, qos: QoS, retain: boolean): boolean {
  const own = rights.filter((right) => right.action === action && (right.retain ?? retain) === retain)
  if (own.some(({ permission, filter }) => permission === 'deny' && covers(filter, topic))) return false
  return own.some((right) => right.permission === 'allow' && covers(right.filter, topic) && qos <= (right.qos ?? 2))
}

const CASES = Number(process.env.GNATMQ_RIGHTS_CASES ?? 5_000)

describe('compiled rights', () => {
  it(`say what the rights say one after the other, in ${CASES} cases`, () => {
    const random = randomOf(1)
    const pick = <T>(list: readonly T[]): T => list[random(list.length)]!
    for (let i = 0; i < CASES; i++) {
      const rights = Array.from({ length: 1 + random(4) }, (): Right => {
        const action = pick(['publish', 'subscribe', 'deliver'] as const)
        const permission = random(3) === 0 ? 'deny' : 'allow'
        const qos = permission === 'deny' ? undefined : pick([undefined, 0, 1, 2] as const)
        const retain = action === 'publish' ? pick([undefined, true, false] as const) : undefined
        return { permission, action, filter: pick(valid), qos, retain }
      })
      const compiled = compileRights(rights)
      const [topic, qos, retain, filter] = [pick(topics), pick([0, 1, 2] as const), random(2) === 0, pick(valid)]
      const told = JSON.stringify({ rights, topic, qos, retain, filter })
      expect(compiled.publish(topic, qos, retain), told).toBe(naive(rights, 'publish', topic, qos, retain))
      expect(compiled.deliver(topic, qos), told).toBe(naive(rights, 'deliver', topic, qos, false))
      const own = rights.filter(({ action }) => action === 'subscribe')
      const isDenied = own.some((right) => right.permission === 'deny' && overlap(right.filter, filter))
      const allowing = own.filter((right) => right.permission === 'allow' && covers(right.filter, filter))
      const highest = Math.max(-1, ...allowing.map((right) => right.qos ?? 2))
      const expected = isDenied || highest < 0 ? false : highest >= qos ? true : { qos: highest }
      expect(compiled.subscribe(filter, qos), told).toEqual(expected)
      expect(compiled.guardsDelivery).toBe(rights.some(({ action }) => action === 'deliver'))
    }
  })

  it('allow nothing where there are none', () => {
    const none = compileRights([])
    expect([none.publish('a', 0, false), none.subscribe('a', 0), none.guardsDelivery]).toEqual([false, false, false])
  })

  it.each<[string, unknown]>([
    ['no list', {}],
    ['null', [null]],
    ['no permission', [{ action: 'publish', filter: '#' }]],
    ['another action', [{ permission: 'allow', action: 'read', filter: '#' }]],
    ['no filter', [{ permission: 'allow', action: 'publish' }]],
    ['another name', [{ permission: 'allow', action: 'publish', filter: '#', topic: 'a' }]],
    ['QoS 3', [{ permission: 'allow', action: 'publish', filter: '#', qos: 3 }]],
    ['a QoS that is denied', [{ permission: 'deny', action: 'publish', filter: '#', qos: 1 }]],
    ['retain of a subscription', [{ permission: 'allow', action: 'subscribe', filter: '#', retain: true }]],
  ])('refuse %s', (_what, rights) => {
    expect(() => compileRights(rights as Right[])).toThrow(
      expect.objectContaining({ code: expect.stringMatching(/GNATMQ_OPTION_/) }),
    )
  })

  it.each(['a/#/b', '', '$share/g/a', 'a+'])('refuse the filter %s', (filter) => {
    expect(() => compileRights([{ permission: 'allow', action: 'publish', filter }])).toThrow(
      expect.objectContaining({ code: 'GNATMQ_TOPIC_FILTER_INVALID' }),
    )
  })
})
