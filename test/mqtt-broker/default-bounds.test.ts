import { describe, expect, it, vi } from 'vitest'
import { MemoryStore } from '../../src/persistence/memory-store'
import { SimulatedClock } from '../../src/testing/simulated-clock'
import { clientGone, connectClient, startBroker } from '../support/broker'

const HOUR_MS = 3_600_000

describe('a Keep Alive of 0, on defaults', () => {
  it('ends the connection of MQTT 3.1.1 that neither sends nor takes anything for days', async () => {
    const clock = new SimulatedClock()
    const broker = await startBroker({ clock })
    const client = await connectClient(broker, { keepalive: 0 })
    clock.advance(27 * HOUR_MS)
    await vi.waitFor(() => expect(broker.statistics.clients).toBe(1))
    clock.advance(28 * HOUR_MS)
    await client.closed()
  })

  it('leaves one that only takes messages connected', async () => {
    const clock = new SimulatedClock()
    const broker = await startBroker({ clock })
    const client = await connectClient(broker, { keepalive: 0 })
    await client.subscribe('a', 0)
    for (let day = 0; day < 7; day++) {
      clock.advance(24 * HOUR_MS)
      await broker.publish({ topic: 'a', payload: String(day) })
      expect(await client.nextMessage()).toMatchObject({ text: String(day) })
    }
  })

  it('is answered in MQTT 5 with the Server Keep Alive that holds', async () => {
    const broker = await startBroker()
    const client = await connectClient(broker, { protocolVersion: 5, keepalive: 0 })
    expect(client.received[0]).toMatchObject({ properties: { serverKeepAlive: 65_535 } })
  })

  it('has no end where maximumKeepAlive is 0', async () => {
    const clock = new SimulatedClock()
    const broker = await startBroker({ clock, limits: { maximumKeepAlive: 0 } })
    const client = await connectClient(broker, { keepalive: 0 })
    clock.advance(240 * HOUR_MS)
    expect(await client.quiet()).toEqual([])
  })
})

describe('a session that is to last for ever, on defaults', () => {
  it('lasts for a year, and a client of MQTT 5 is told so', async () => {
    const broker = await startBroker()
    const properties = { sessionExpiryInterval: 0xffffffff }
    const client = await connectClient(broker, { protocolVersion: 5, clientId: 'a', properties })
    expect(client.received[0]).toMatchObject({ properties: { sessionExpiryInterval: 31_536_000 } })
  })

  it.each([
    ['is there', HOUR_MS / 2, true],
    ['is gone', 2 * HOUR_MS, false],
  ])('%s after %i ms where it may last for an hour, also of MQTT 3.1.1', async (_what, ms, sessionPresent) => {
    const clock = new SimulatedClock()
    const broker = await startBroker({ clock, limits: { maximumSessionExpiryInterval: 3600 } })
    const client = await connectClient(broker, { clientId: 'a', clean: false })
    await client.disconnect()
    await clientGone(broker, 'a')
    clock.advance(ms)
    const again = await connectClient(broker, { clientId: 'a', clean: false })
    expect(again.received[0]).toMatchObject({ sessionPresent })
  })

  it('lasts no longer where the store has it from a time when it might', async () => {
    const clock = new SimulatedClock()
    const store = new MemoryStore()
    const kept = { clientId: 'a', clean: false }
    const former = await startBroker({ clock, store, limits: { maximumSessionExpiryInterval: 0xffffffff } })
    await (await connectClient(former, kept)).disconnect()
    await former.stop()
    const broker = await startBroker({ clock, store, limits: { maximumSessionExpiryInterval: 3600 } })
    expect(broker.statistics.sessions).toBe(1)
    clock.advance(2 * HOUR_MS)
    expect((await connectClient(broker, kept)).received[0]).toMatchObject({ sessionPresent: false })
  })
})
