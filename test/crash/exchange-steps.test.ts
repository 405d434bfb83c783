import type { PacketCmd } from 'mqtt-packet'
import { describe, expect, it } from 'vitest'
import { versionName } from '../interop/foreign-clients'
import { Exchange } from './exchange'
import { checkHistory } from './history-checker'

/** Where the broker dies by itself: at the first commit with such a change. */
const ownDeaths = [
  { step: 'PUBLISH has come, before its commit', killAt: 'hold:before' },
  { step: 'PUBLISH has come and is committed, before PUBREC and before it is sent on', killAt: 'hold:after' },
  { step: 'PUBREL has come, before its commit', killAt: 'release:before' },
  { step: 'PUBREL has come and is committed, before PUBCOMP', killAt: 'release:after' },
  { step: 'PUBREC of the subscriber has come, before its commit', killAt: 'received:before' },
  { step: 'PUBREC of the subscriber has come and is committed, before PUBREL', killAt: 'received:after' },
  { step: 'PUBCOMP of the subscriber has come, before its commit', killAt: 'dequeue:before' },
  { step: 'PUBCOMP of the subscriber has come and is committed', killAt: 'dequeue:after' },
]

/** Where one side gets a packet and does not answer before the broker is killed. */
const silences: { step: string; client: 'publisher' | 'subscriber'; seen: PacketCmd; unanswered: PacketCmd }[] = [
  { step: 'PUBREC to the publisher', client: 'publisher', seen: 'pubrec', unanswered: 'pubrec' },
  { step: 'PUBCOMP to the publisher', client: 'publisher', seen: 'pubcomp', unanswered: 'pubcomp' },
  { step: 'PUBLISH to the subscriber', client: 'subscriber', seen: 'publish', unanswered: 'publish' },
  { step: 'PUBREL to the subscriber', client: 'subscriber', seen: 'pubrel', unanswered: 'pubrel' },
]

const versions = ([4, 5] as const).map((version) => ({ version, name: versionName[version] }))

describe.each(versions)('the QoS 2 exchange in $name', ({ version }) => {
  it.each(ownDeaths)('comes to its end once when the broker dies: $step', async ({ killAt }) => {
    const exchange = await Exchange.begin(version, { killAt })
    exchange.publish()
    await exchange.broker.died()
    await exchange.resume()
    expect(exchange.history.events.filter(({ type }) => type === 'killed')).toHaveLength(1)
    expect(checkHistory(exchange.history.events)).toEqual([])
  })

  it.each(silences)('comes to its end once when the broker is killed after $step', async (silence) => {
    const exchange = await Exchange.begin(version)
    const client = exchange[silence.client]
    client.unanswered.add(silence.unanswered)
    exchange.publish()
    await exchange.saw(client, silence.seen)
    await exchange.broker.kill()
    await exchange.resume()
    expect(checkHistory(exchange.history.events)).toEqual([])
  })

  it.each(['assign:before', 'assign:after'])('sends what waited once when the broker dies at %s', async (killAt) => {
    const exchange = await Exchange.begin(version)
    exchange.subscriber.cut()
    for (let i = 0; i < 3; i++) exchange.publish()
    await exchange.done()
    await exchange.broker.kill()
    exchange.publisher.cut()
    await exchange.broker.start({ killAt })
    await exchange.subscriber.connect(exchange.broker.port)
    await exchange.broker.died()
    await exchange.resume()
    expect(checkHistory(exchange.history.events)).toEqual([])
  })

  it.each(silences)('comes to its end once when the connection is cut after $step', async (silence) => {
    const exchange = await Exchange.begin(version)
    const client = exchange[silence.client]
    client.unanswered.add(silence.unanswered)
    exchange.publish()
    await exchange.saw(client, silence.seen)
    client.cut()
    await client.connect(exchange.broker.port)
    await exchange.done()
    await exchange.publishLast()
    expect(checkHistory(exchange.history.events)).toEqual([])
  })
})
