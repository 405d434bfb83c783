import { describe, expect, it } from 'vitest'
import { Exchange } from './exchange'
import { checkHistory } from './history-checker'
import { PersistentClient } from './persistent-client'
import { readRetained } from './retained-reader'

/** The checker has to find each mistake that a store or a broker could make, and says nothing of the same steps without it. */
const cases: { fault: string; found: RegExp; play: (fault: string | undefined) => Promise<Exchange> }[] = [
  {
    fault: 'answers before it commits',
    found: /is lost: it was acknowledged and never came to subscriber/,
    play: (fault) => whileAbsent({ fault }, {}),
  },
  {
    fault: 'drops every third message',
    found: /is lost: it was acknowledged and never came to subscriber/,
    play: (fault) => whileAbsent({ fault }, {}),
  },
  {
    fault: 'reads its queues from the end',
    found: /publisher:1 is lost/,
    play: (fault) => whileAbsent({}, { fault }),
  },
  {
    fault: 'forgets held identifiers',
    found: /publisher:1 came 2 times to subscriber with QoS 2/,
    async play(fault) {
      const exchange = await Exchange.begin(5, { killAt: 'hold:after', fault })
      exchange.publish()
      await exchange.broker.died()
      await exchange.resume()
      return exchange
    },
  },
  {
    fault: 'forgets what was released',
    found: /publisher:2 is lost: it was acknowledged/,
    async play(fault) {
      const exchange = await Exchange.begin(5, { fault })
      exchange.publish()
      await exchange.done()
      await exchange.broker.kill()
      await exchange.restart()
      // the first under the identifier of before, the last under another
      exchange.publish()
      await exchange.publishLast()
      return exchange
    },
  },
  {
    fault: 'forgets Packet Identifiers',
    found: /publisher:2 came 2 times to subscriber with QoS 2/,
    async play(fault) {
      const exchange = await Exchange.begin(5)
      await exchange.publishLast()
      exchange.subscriber.seen.length = 0
      exchange.subscriber.unanswered.add('publish')
      exchange.publish()
      await exchange.saw(exchange.subscriber, 'publish')
      await exchange.done()
      await exchange.broker.kill()
      await exchange.restart({ fault })
      await exchange.saw(exchange.subscriber, 'publish')
      return exchange
    },
  },
  {
    fault: 'forgets subscriptions',
    found: /publisher:1 is lost: it was acknowledged/,
    async play(fault) {
      const exchange = await Exchange.begin(5, { fault })
      await exchange.broker.kill()
      await exchange.restart()
      await exchange.subscriber.subscribe('last', 2)
      exchange.publish()
      await exchange.publishLast('last')
      return exchange
    },
  },
  {
    fault: 'forgets sessions',
    found: /the session of subscriber is lost: Session Present is 0/,
    async play(fault) {
      const exchange = await Exchange.begin(5)
      await exchange.broker.kill()
      await exchange.restart({ fault })
      return exchange
    },
  },
  {
    fault: 'forgets retained messages',
    found: /r\/a retains nothing instead of publisher:1/,
    play: (fault) => withRetained({}, { fault }),
  },
  {
    fault: 'keeps retained messages that were cleared',
    found: /r\/b retains publisher:2 instead of nothing/,
    play: (fault) => withRetained({ fault }, {}),
  },
  {
    fault: 'forgets Wills',
    found: /mortal:1 is lost: it was acknowledged and never came to subscriber/,
    async play(fault) {
      const exchange = await Exchange.begin(5, { fault })
      const { broker, history } = exchange
      const mortal = new PersistentClient({ clientId: 'mortal', version: 5, history })
      await mortal.connect(broker.port, { payload: 'mortal:1', topic: 't', qos: 2, retain: false })
      await broker.kill()
      mortal.cut()
      await exchange.restart()
      await mortal.connect(broker.port, { payload: 'mortal:2', topic: 't', qos: 2, retain: false })
      await mortal.disconnect()
      await exchange.publishLast()
      return exchange
    },
  },
]

interface Run {
  fault?: string | undefined
}

/** Messages come while the subscriber is away, and the broker dies before it is back. */
async function whileAbsent(before: Run, after: Run): Promise<Exchange> {
  const exchange = await Exchange.begin(5, before)
  exchange.subscriber.cut()
  for (let i = 0; i < 3; i++) exchange.publish()
  await exchange.done()
  await exchange.broker.kill()
  await exchange.resume(after)
  return exchange
}

async function withRetained(before: Run, after: Run): Promise<Exchange> {
  const exchange = await Exchange.begin(5, before)
  const { broker, history } = exchange
  exchange.publish(1, 'r/a', true)
  exchange.publish(1, 'r/b', true)
  await exchange.done()
  exchange.publish(1, 'r/b', true, true)
  await exchange.done()
  await broker.kill()
  await exchange.restart(after)
  await readRetained(broker, history)
  return exchange
}

describe('the history of a broker that', () => {
  it.each(cases)('$fault shows it', async ({ fault, found, play }) => {
    const { history } = await play(fault)
    expect(checkHistory(history.events).join('\n')).toMatch(found)
  })

  it.each(cases)('does not "$fault" has nothing to show', async ({ play }) => {
    const { history } = await play(undefined)
    expect(checkHistory(history.events)).toEqual([])
  })
})
