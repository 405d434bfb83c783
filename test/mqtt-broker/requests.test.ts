import mqtt from 'mqtt'
import { expect, it, onTestFinished, vi } from 'vitest'
import { MqttBroker } from '../../src/mqtt-broker'
import type { MqttBrokerOptions } from '../../src/options'

const silence = (): void => undefined
const settled = { timeout: 10_000, interval: 5 }
/** The large run: 10,000. */
const REQUESTS = Number(process.env['GNATMQ_REQUESTS'] ?? 200)

async function start(options: MqttBrokerOptions = {}): Promise<MqttBroker> {
  const broker = await MqttBroker.start({
    listeners: [],
    logger: { info: silence, warn: silence, error: silence },
    ...options,
  })
  onTestFinished(() => broker.stop())
  return broker
}

it('answers a request; a responder that throws tells of it, without its text', async () => {
  const error = vi.fn()
  const broker = await start({ logger: { info: silence, warn: silence, error } })
  await broker.respond('add/+', async ({ payload, topic }) => {
    if (topic === 'add/nothing') throw new Error('secret')
    return String(Number(payload) + 1)
  })
  const answers = await Promise.all([1, 2, 3].map((n) => broker.request('add/one', String(n))))
  expect(answers.map(({ payload }) => payload.toString())).toEqual(['2', '3', '4'])
  const failure = await broker.request('add/nothing').catch((reason: unknown) => reason)
  expect(failure).toMatchObject({ code: 'GNATMQ_REQUEST_FAILED' })
  expect(String(failure)).not.toContain('secret')
  expect(error).toHaveBeenCalledTimes(1)
})

it('ignores a late response, keeps nothing of requests that time out, and ends with its signal', async () => {
  const broker = await start()
  const late: (() => void)[] = []
  await broker.respond('slow', () => new Promise((resolve) => late.push(() => resolve('late'))))
  const requests = Array.from({ length: REQUESTS }, () => broker.request('slow', '', { timeout: 20 }))
  for (const outcome of await Promise.allSettled(requests)) expect(outcome.status).toBe('rejected')
  expect((broker as unknown as { requests: { pending: Map<string, unknown> } }).requests.pending.size).toBe(0)
  for (const answer of late) answer()
  const controller = new AbortController()
  const given = broker.request('slow', '', { signal: controller.signal })
  setImmediate(() => controller.abort())
  await expect(given).rejects.toMatchObject({ code: 'GNATMQ_REQUEST_FAILED' })
})

it('publishes no response where the client that asks may not publish itself', async () => {
  const broker = await start({ authorizePublish: (_client, { topic }) => topic !== 'admin/door' })
  const responder = vi.fn(() => 'open')
  await broker.respond('ask', responder)
  const got: string[] = []
  await broker.subscribe('#', ({ topic }) => void got.push(topic))
  const client = new mqtt.MqttClient(() => broker.connect(), { reconnectPeriod: 0, protocolVersion: 5 })
  onTestFinished(() => client.endAsync(true))
  await client.publishAsync('ask', '', { properties: { responseTopic: 'admin/door' } })
  await client.publishAsync('ask', '', { properties: { responseTopic: 'mine' } })
  await vi.waitFor(() => expect(got).toContain('mine'), settled)
  expect(responder).toHaveBeenCalledTimes(2)
  expect(got).toEqual(['ask', 'ask', 'mine'])
})
