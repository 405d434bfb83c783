import { describe, expect, it } from 'vitest'
import type { Verdict } from '../../../src/ports/hooks'
import { silentLogger } from '../../../src/ports/logger'
import { FailingStore } from '../../persistence/failing-store'
import { clientGone, connectClient, openClient, startBroker } from '../../support/broker'

const properties = { sessionExpiryInterval: 3600 }

describe('a CONNECT whose subscriptions a hook thinks about', () => {
  it('is answered once its session is kept, whatever others commit meanwhile', async () => {
    const store = new FailingStore()
    const answers: ((verdict: Verdict) => void)[] = []
    let thinks = false
    const authorizeSubscribe = (): Verdict | Promise<Verdict> =>
      thinks ? new Promise((resolve) => answers.push(resolve)) : true
    const broker = await startBroker({ store, authorizeSubscribe })
    const before = await connectClient(broker, { clientId: 'lamp', clean: false, protocolVersion: 5, properties })
    await before.subscribe('a', 1)
    await before.disconnect()
    await clientGone(broker, 'lamp')
    thinks = true
    const client = await openClient(broker)
    client.sendConnect({
      clientId: 'lamp',
      clean: false,
      protocolVersion: 5,
      properties,
      will: { topic: 'will', payload: Buffer.from('x'), qos: 1, retain: false },
    })
    await expect.poll(() => answers.length).toBe(1)
    store.failure = 'rejects'
    await expect(broker.publish({ topic: 'r', payload: 'x', qos: 1, retain: true })).rejects.toThrow()
    store.failure = undefined
    answers[0]!(true)
    expect(await client.next('connack')).toMatchObject({ reasonCode: 0, sessionPresent: true })
    expect([...store.sessions()].map(({ session }) => session)).toMatchObject([{ disconnectedAt: 0, will: {} }])
  })
})

describe('a CONNECT whose session the store keeps later', () => {
  it('is answered without Response Information when the application throws over it', async () => {
    const store = new FailingStore()
    const responseInformation = (): string => {
      throw new Error('no idea')
    }
    const logged: unknown[] = []
    const logger = { ...silentLogger, error: (fields: object) => logged.push(fields) }
    const broker = await startBroker({ store, responseInformation, logger })
    store.wait()
    const client = await openClient(broker)
    client.sendConnect({
      clientId: 'lamp',
      clean: false,
      protocolVersion: 5,
      properties: { ...properties, requestResponseInformation: true },
    })
    await expect.poll(() => store.waits).toBe(1)
    store.goOn()
    const connack = await client.next('connack')
    expect(connack.properties).not.toHaveProperty('responseInformation')
    expect(logged).toMatchObject([{ err: { message: 'no idea' }, clientId: 'lamp' }])
    expect(broker.statistics.sessions).toBe(1)
  })
})
