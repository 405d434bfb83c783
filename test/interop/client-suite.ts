import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import type { ProtocolVersion, QoS } from '../../src/protocol/packet'
import { type InteropBroker, startInteropBroker, type Transport } from './broker'
import {
  type ForeignClients,
  type Received,
  type Subscriber,
  type SubscriberOptions,
  skipped,
  type Target,
  versionName,
} from './foreign-clients'

/** The one suite that every foreign client goes through, in every version and on every transport. */

const patience = { timeout: 15_000, interval: 10 }
const versions: ProtocolVersion[] = [3, 4, 5]
const transports: Transport[] = ['TCP', 'TLS']
const levels: QoS[] = [0, 1, 2]
let names = 0

/** A name that no other test has: MQTT 3.1 allows a Client Identifier 23 characters. */
export const uniqueName = (): string => `t${process.pid % 100_000}-${++names}`

export const eventually = (check: () => void): Promise<void> => vi.waitFor(check, patience)

export function describeForeignClients(clients: ForeignClients): void {
  describe.skipIf(skipped(clients.name, clients.missing))(clients.name, () => {
    let interop: InteropBroker
    beforeAll(async () => {
      interop = await startInteropBroker()
    })
    afterAll(() => interop.stop())

    describe.each(versions.map((version) => ({ version, name: versionName[version] })))('in $name', ({ version }) => {
      describe.each(transports)('over %s', (transport) => {
        const setting = () => ({ interop, clients, target: interop.target(version, transport) })
        it.each(levels)('sends with QoS %i', (qos) => sends(setting(), qos))
        it.each(levels)('receives with QoS %i', (qos) => receives(setting(), qos))
        it('leaves a retained message, finds it and clears it', () => retains(setting()))
        it('leaves a Will, which is published when its connection breaks and not when it ends well', () =>
          leavesAWill(setting()))
        it('finds the messages of its absence in its session, in order', () => returns(setting()))
        it('subscribes with wildcards', () => usesWildcards(setting()))
      })
      it('refuses the broker without its CA, and under a name that is not in the certificate', () =>
        checksTheBroker({ interop, clients, target: interop.target(version, 'TLS') }))
    })
  })
}

interface Setting {
  interop: InteropBroker
  clients: ForeignClients
  target: Target
}

/** A subscriber whose filters are acknowledged. */
async function subscribed({ interop, clients, target }: Setting, options: SubscriberOptions): Promise<Subscriber> {
  const granted = interop.subscribed(options.clientId, options.filters.length)
  const subscriber = clients.subscribe(target, options)
  await granted
  return subscriber
}

const payloads = (received: readonly Received[]): string[] => received.map(({ payload }) => payload)

async function sends({ interop, clients, target }: Setting, qos: QoS): Promise<void> {
  const topic = `${uniqueName()}/sent`
  const received: Received[] = []
  const end = await interop.broker.subscribe(topic, (message) => {
    received.push({
      topic: message.topic,
      payload: message.payload.toString(),
      qos: message.qos,
      retain: message.retain,
    })
  })
  await clients.publish(target, { topic, payload: 'grüße', qos })
  await clients.publish(target, { topic, payload: 'second', qos })
  await eventually(() => expect(payloads(received)).toEqual(['grüße', 'second']))
  expect(received[0]).toEqual({ topic, payload: 'grüße', qos, retain: false })
  end()
}

async function receives(setting: Setting, qos: QoS): Promise<void> {
  const topic = `${uniqueName()}/received`
  const subscriber = await subscribed(setting, { filters: [topic], qos, clientId: uniqueName() })
  const sent = Array.from({ length: 50 }, (_, i) => `message ${i}`)
  for (const payload of sent) await setting.interop.broker.publish({ topic, payload, qos: 2 })
  await eventually(() => expect(payloads(subscriber.received)).toEqual(sent))
  // what was published with less comes with less
  await setting.clients.publish(setting.target, { topic, payload: 'QoS 0', qos: 0 })
  await eventually(() => expect(subscriber.received.at(-1)).toEqual({ topic, payload: 'QoS 0', qos: 0, retain: false }))
  expect(subscriber.received).toHaveLength(51)
  expect(new Set(subscriber.received.slice(0, 50).map((message) => message.qos))).toEqual(new Set([qos]))
}

async function retains(setting: Setting): Promise<void> {
  const { clients, target } = setting
  const topic = `${uniqueName()}/retained`
  await clients.publish(target, { topic, payload: 'kept', qos: 1, retain: true })
  const subscriber = await subscribed(setting, { filters: [topic], qos: 1, clientId: uniqueName() })
  const kept = { topic, payload: 'kept', qos: 1, retain: true }
  await eventually(() => expect(subscriber.received).toEqual([kept]))
  // a subscription that stands gets it as an ordinary message [MQTT-3.3.1-9]
  await clients.publish(target, { topic, payload: 'newer', qos: 1, retain: true })
  await eventually(() => expect(subscriber.received[1]).toEqual({ ...kept, payload: 'newer', retain: false }))
  await clients.publish(target, { topic, payload: '', qos: 1, retain: true })
  const late = await subscribed(setting, { filters: [topic], qos: 1, clientId: uniqueName() })
  await clients.publish(target, { topic, payload: 'ordinary', qos: 1 })
  await eventually(() => expect(late.received).toEqual([{ ...kept, payload: 'ordinary', retain: false }]))
}

async function leavesAWill(setting: Setting): Promise<void> {
  const { interop } = setting
  const topic = `${uniqueName()}/will`
  const watcher = await subscribed(setting, { filters: [topic], qos: 2, clientId: uniqueName() })
  const options = (payload: string) => {
    const will = { topic, payload, qos: 1 as const, retain: true }
    return { filters: ['unused'], qos: 0 as const, clientId: uniqueName(), will }
  }
  const polite = options('never')
  const left = interop.disconnected(polite.clientId)
  await subscribed(setting, { ...polite, leaves: true })
  await left
  await (await subscribed(setting, options('gone'))).kill()
  await eventually(() => expect(watcher.received).toEqual([{ topic, payload: 'gone', qos: 1, retain: false }]))
  const late = await subscribed(setting, { filters: [topic], qos: 2, clientId: uniqueName() })
  await eventually(() => expect(late.received).toEqual([{ topic, payload: 'gone', qos: 1, retain: true }]))
}

async function returns(setting: Setting): Promise<void> {
  const { interop, clients, target } = setting
  const topic = `${uniqueName()}/session`
  const options = { filters: [topic], qos: 2 as const, clientId: uniqueName(), persistent: true }
  const left = interop.disconnected(options.clientId)
  const first = await subscribed(setting, { ...options, leaves: true })
  await left
  for (const qos of [1, 2] as const) await clients.publish(target, { topic, payload: `from outside ${qos}`, qos })
  const queued = Array.from({ length: 20 }, (_, i) => `queued ${i}`)
  for (const payload of queued) await interop.broker.publish({ topic, payload, qos: 2 })
  const second = await subscribed(setting, options)
  await interop.broker.publish({ topic, payload: 'present', qos: 2 })
  const wanted = ['from outside 1', 'from outside 2', ...queued, 'present']
  await eventually(() => expect(payloads(second.received)).toEqual(wanted))
  expect(second.received.map(({ qos }) => qos)).toEqual([1, ...wanted.slice(1).map(() => 2)])
  expect(first.received).toEqual([])
}

async function usesWildcards(setting: Setting): Promise<void> {
  const { interop } = setting
  const root = uniqueName()
  const one = await subscribed(setting, { filters: [`${root}/+/state`], qos: 1, clientId: uniqueName() })
  const all = await subscribed(setting, { filters: [`${root}/#`], qos: 1, clientId: uniqueName() })
  const anything = await subscribed(setting, { filters: ['#', '+/#'], qos: 1, clientId: uniqueName() })
  const topics = [root, `${root}/a/state`, `${root}//state`, `${root}/a/b/state`, `${root}/a`]
  await interop.broker.publish({ topic: `$${root}`, payload: 'hidden', qos: 1 })
  for (const topic of topics) await interop.broker.publish({ topic, payload: topic, qos: 1 })
  await interop.broker.publish({ topic: `${root}/end/state`, payload: 'end', qos: 1 })
  await eventually(() => {
    expect(payloads(one.received)).toEqual([`${root}/a/state`, `${root}//state`, 'end'])
    expect(payloads(all.received)).toEqual([...topics, 'end'])
    expect(payloads(anything.received)).toEqual(expect.arrayContaining([...topics, 'end']))
  })
  expect(payloads(anything.received)).not.toContain('hidden')
}

async function checksTheBroker({ interop, clients, target }: Setting): Promise<void> {
  const accepted: string[] = []
  const listener = (client: { clientId: string }) => accepted.push(client.clientId)
  interop.broker.on('clientConnected', listener)
  const message = { topic: 'never', payload: 'never', qos: 1 } as const
  await expect(clients.publish({ ...target, caFile: interop.otherCaFile }, message)).rejects.toThrow(/certificate/i)
  await expect(clients.publish({ ...target, host: '127.0.0.1' }, message)).rejects.toThrow(/certificate|altname/i)
  expect(accepted).toEqual([])
  interop.broker.off('clientConnected', listener)
  await clients.publish(target, message)
}
