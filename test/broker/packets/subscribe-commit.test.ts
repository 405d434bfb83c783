import type { ISubscribePacket } from 'mqtt-packet'
import { describe, expect, it } from 'vitest'
import type { Verdict } from '../../../src/ports/hooks'
import { FailingStore } from '../../persistence/failing-store'
import { clientGone, openClient, startBroker } from '../../support/broker'

const properties = { sessionExpiryInterval: 3600 }

const bothFilters: ISubscribePacket = {
  cmd: 'subscribe',
  messageId: 1,
  subscriptions: [
    { topic: 'a', qos: 1 },
    { topic: 'b', qos: 1 },
  ],
}

async function thinkingBroker() {
  const store = new FailingStore()
  const answers: ((verdict: Verdict) => void)[] = []
  const authorizeSubscribe = (): Promise<Verdict> => new Promise((resolve) => answers.push(resolve))
  const broker = await startBroker({ store, authorizeSubscribe })
  const filters = () => [...store.sessions()].flatMap(({ subscriptions }) => subscriptions.map(({ filter }) => filter))
  return { store, answers, broker, filters }
}

describe('a SUBSCRIBE whose filters a hook thinks about', () => {
  it('is answered once all of them are kept, whatever others commit meanwhile', async () => {
    const { store, answers, broker, filters } = await thinkingBroker()
    const client = await openClient(broker)
    client.sendConnect({ clientId: 'lamp', clean: false, protocolVersion: 5, properties })
    await client.next('connack')
    client.send(bothFilters)
    await expect.poll(() => answers.length).toBe(1)
    answers[0]!(true)
    await expect.poll(() => answers.length).toBe(2)
    store.failure = 'rejects'
    await expect(broker.publish({ topic: 'r', payload: 'x', qos: 1, retain: true })).rejects.toThrow()
    store.failure = undefined
    answers[1]!(true)
    expect(await client.next('suback')).toMatchObject({ granted: [1, 1] })
    expect(filters()).toEqual(['a', 'b'])
  })

  it('leaves nothing behind when its client goes before the last answer', async () => {
    const { answers, broker, filters } = await thinkingBroker()
    const client = await openClient(broker)
    client.sendConnect({ clientId: 'lamp', clean: false, protocolVersion: 5, properties })
    await client.next('connack')
    client.send(bothFilters)
    await expect.poll(() => answers.length).toBe(1)
    answers[0]!(true)
    await expect.poll(() => answers.length).toBe(2)
    broker.clients.get('lamp')!.disconnect()
    answers[1]!(true)
    await clientGone(broker, 'lamp')
    await broker.publish({ topic: 'r', payload: 'x', qos: 1, retain: true })
    expect(filters()).toEqual([])
  })

  it('leaves nothing behind when the application ends its client on being told of a denial', async () => {
    const broker = await startBroker({ authorizeSubscribe: (_client, { filter }) => filter !== 'b' })
    broker.on('clientError', (_error, _peer, denied) => denied?.disconnect())
    const client = await openClient(broker)
    client.sendConnect({ clientId: 'lamp', clean: true, protocolVersion: 5 })
    await client.next('connack')
    client.send(bothFilters)
    await clientGone(broker, 'lamp')
    expect(broker.statistics.subscriptions).toBe(0)
  })
})
