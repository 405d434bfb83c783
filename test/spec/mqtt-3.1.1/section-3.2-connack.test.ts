import { describe, expect, it } from 'vitest'
import { bytes, packet, string, u16 } from '../../protocol/packet-bytes'
import { connectClient, openClient, startBroker } from '../../support/broker'
import { connectBytes } from './connect-bytes'

describe('MQTT 3.1.1 section 3.2, CONNACK', () => {
  it.each([
    ['at once', () => true],
    ['later', () => Promise.resolve(true)],
  ])('[MQTT-3.2.0-1] CONNACK comes before every answer, if the client is let in %s', async (_when, yes) => {
    const client = await openClient(await startBroker({ authenticate: yes }))
    const subscribe = packet(0x82, u16(1), string('a'), 0)
    client.sendBytes(bytes(connectBytes(), subscribe, packet(0x32, string('a'), u16(2)), packet(0xc0)))
    await client.next('pingresp')
    expect(client.received.map(({ cmd }) => cmd)).toEqual(['connack', 'suback', 'publish', 'puback', 'pingresp'])
  })

  it('[MQTT-3.2.0-1] CONNACK comes before the messages that wait', async () => {
    const broker = await startBroker()
    const first = await connectClient(broker, { clientId: 'c', clean: false })
    await first.subscribe('a', 1)
    await first.publish('a', 'unacknowledged', { qos: 1 })
    await first.disconnect()
    const publisher = await connectClient(broker)
    await publisher.publish('a', 'waiting', { qos: 1 })
    const second = await openClient(broker)
    second.sendConnect({ clientId: 'c', clean: false })
    expect(await second.next()).toMatchObject({ cmd: 'connack' })
    expect((await second.quiet()).map(({ cmd }) => cmd)).toEqual(['publish', 'publish'])
  })

  it('[MQTT-3.2.2-1] Session Present is 0 after CleanSession, whatever was kept', async () => {
    const broker = await startBroker()
    const first = await openClient(broker)
    expect(await first.connect({ clientId: 'c', clean: true })).toMatchObject({ returnCode: 0, sessionPresent: false })
    await first.disconnect()
    const kept = await connectClient(broker, { clientId: 'c', clean: false })
    await kept.disconnect()
    const clean = await openClient(broker)
    expect(await clean.connect({ clientId: 'c', clean: true })).toMatchObject({ returnCode: 0, sessionPresent: false })
  })

  it('[MQTT-3.2.2-2] Session Present is 1 if a session was kept', async () => {
    const broker = await startBroker()
    const first = await connectClient(broker, { clientId: 'c', clean: false })
    await first.disconnect()
    const second = await openClient(broker)
    expect(await second.connect({ clientId: 'c', clean: false })).toMatchObject({ returnCode: 0, sessionPresent: true })
    expect(second.receivedBytes).toEqual(Buffer.from('20020100', 'hex'))
  })

  it('[MQTT-3.2.2-3] Session Present is 0 if none was', async () => {
    const broker = await startBroker()
    const clean = await connectClient(broker, { clientId: 'c', clean: true })
    await clean.disconnect()
    for (const clientId of ['c', 'never seen']) {
      const client = await openClient(broker)
      expect(await client.connect({ clientId, clean: false })).toMatchObject({ returnCode: 0, sessionPresent: false })
    }
  })

  it.each([
    ['bad user name or password', 0x86, 4],
    ['not authorized', 0x87, 5],
    ['server unavailable', 0x88, 3],
    ['identifier rejected', 0x85, 2],
  ])(
    '[MQTT-3.2.2-4] [MQTT-3.2.2-5] a refusal (%s) has Session Present 0 and ends the connection',
    async (_why, reasonCode, returnCode) => {
      let open = true
      const broker = await startBroker({ authenticate: () => open || { reasonCode } })
      const first = await connectClient(broker, { clientId: 'c', clean: false })
      await first.disconnect()
      open = false
      const client = await openClient(broker)
      client.sendConnect({ clientId: 'c', clean: false, username: 'u', password: 'p' })
      await client.closed()
      expect(client.receivedBytes).toEqual(Buffer.from([0x20, 2, 0, returnCode]))
    },
  )

  it.each([
    ['wrong flags', connectBytes({ flags: 3 })],
    ['a truncated payload', connectBytes({ payload: [u16(5)] })],
  ])('[MQTT-3.2.2-6] no return code says %s: the connection closes without CONNACK', async (_what, connect) => {
    const client = await openClient(await startBroker())
    client.sendBytes(connect)
    await client.closed()
    expect(client.received).toEqual([])
  })
})
