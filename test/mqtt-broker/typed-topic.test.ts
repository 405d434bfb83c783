import mqtt from 'mqtt'
import { expect, expectTypeOf, it, onTestFinished, vi } from 'vitest'
import { MqttBroker } from '../../src/mqtt-broker'
import type { StandardSchema } from '../../src/typed/standard-schema'
import { checkPayloads, defineTopic } from '../../src/typed/typed-topic'

interface Reading {
  celsius: number
}

const reading: StandardSchema<Reading> = {
  '~standard': {
    version: 1,
    vendor: 'test',
    validate: (value) =>
      typeof (value as Reading | null)?.celsius === 'number'
        ? { value: value as Reading }
        : { issues: [{ message: 'celsius must be a number' }] },
  },
}

const later: StandardSchema<Reading> = {
  '~standard': { ...reading['~standard'], validate: async (value) => reading['~standard'].validate(value) },
}

it.each([reading, later])('a client is told 0x99 and stays, and the handler has values', async (schema) => {
  const temperature = defineTopic('device/:id/temperature', schema)
  const listeners: [] = []
  const broker = await MqttBroker.start({ listeners, authorizePublish: checkPayloads([temperature]) })
  onTestFinished(() => broker.stop())
  const errors = vi.fn()
  broker.on('clientError', (error, _peer, _client, { topic }) => errors(error.reasonCode, topic))
  const got: unknown[] = []
  await temperature.subscribe(broker, {}, ({ parameters, value }) => {
    expectTypeOf(parameters.id).toEqualTypeOf<string>()
    expectTypeOf(value).toEqualTypeOf<Reading>()
    // @ts-expect-error there is no such parameter
    void parameters.other
    got.push([parameters.id, value.celsius])
  })
  const client = new mqtt.MqttClient(() => broker.connect(), { protocolVersion: 5, reconnectPeriod: 0 })
  onTestFinished(() => client.endAsync(true))
  const bad = client.publishAsync('device/7/temperature', '{"celsius":"hot"}', { qos: 1 })
  await expect(bad).rejects.toMatchObject({ code: 0x99 })
  await client.publishAsync('device/7/temperature', '{', { qos: 0 })
  await client.publishAsync('device/7/temperature', '{"celsius":21}', { qos: 1 })
  await temperature.publish(broker, { id: '8' }, { celsius: 22 }, { qos: 1 })
  await vi.waitFor(() =>
    expect(got).toEqual([
      ['7', 21],
      ['8', 22],
    ]),
  )
  expect(errors.mock.calls).toEqual([
    [0x99, 'device/7/temperature'],
    [0x99, 'device/7/temperature'],
  ])
  expect(client.connected).toBe(true)
  // @ts-expect-error a value of another type
  await expect(temperature.publish(broker, { id: '8' }, { celsius: 'hot' })).rejects.toMatchObject({
    code: 'GNATMQ_PAYLOAD_FORMAT_INVALID',
  })
  // @ts-expect-error a parameter is missing
  await expect(temperature.publish(broker, {}, { celsius: 1 })).rejects.toMatchObject({
    code: 'GNATMQ_TOPIC_NAME_INVALID',
  })
  for (const id of ['a/b', '+', '#']) expect(() => temperature.topic({ id })).toThrow()
})

it('reads text and bytes, and refuses patterns that are none', () => {
  const any: StandardSchema<unknown> = { '~standard': { version: 1, vendor: 'test', validate: (value) => ({ value }) } }
  expect(defineTopic('a', any, 'string').read(Buffer.from('ü'))).toEqual({ value: 'ü' })
  expect(defineTopic('a', any, 'string').read(Buffer.of(0xff))).toHaveProperty('issues')
  expect(defineTopic('a', any, 'buffer').read(Buffer.of(0xff))).toEqual({ value: Buffer.of(0xff) })
  for (const pattern of ['', 'a/+', ':a/:a', 'a/:', '#']) expect(() => defineTopic(pattern, any)).toThrow(/pattern/)
})
