import { expect, it } from 'vitest'
import { silentLogger } from '../../../src/ports/logger'
import { openClient, startBroker } from '../../support/broker'

it('logs a wrong password with code and user name, without a stack', async () => {
  const warnings: object[] = []
  const logger = { ...silentLogger, warn: (fields: object) => warnings.push(fields) }
  const broker = await startBroker({ logger, authenticate: () => false })
  const client = await openClient(broker)
  client.sendConnect({ clientId: 'lamp', username: 'ada', password: Buffer.from('wrong'), protocolVersion: 5 })
  expect((await client.next('connack')).reasonCode).toBe(0x86)
  await expect.poll(() => warnings).toHaveLength(1)
  expect(warnings[0]).toMatchObject({
    code: 'GNATMQ_BAD_CREDENTIALS',
    reasonCode: 0x86,
    clientId: 'lamp',
    username: 'ada',
  })
  expect(warnings[0]).not.toHaveProperty('err')
})

it('logs the cause of a hook that failed', async () => {
  const warnings: object[] = []
  const logger = { ...silentLogger, warn: (fields: object) => warnings.push(fields) }
  const authenticate = (): boolean => {
    throw new Error('the database is away')
  }
  const broker = await startBroker({ logger, authenticate })
  const client = await openClient(broker)
  client.sendConnect({ clientId: 'lamp', protocolVersion: 5 })
  expect((await client.next('connack')).reasonCode).toBe(0x87)
  await expect.poll(() => warnings).toHaveLength(1)
  expect(warnings[0]).toMatchObject({ err: { cause: { message: 'the database is away' } } })
})
