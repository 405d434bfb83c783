import { describe, expect, it, vi } from 'vitest'
import { HonestPair } from './honest-pair'
import { HostileBroker } from './hostile-broker'
import { connectAttacker, connectBytes, flood, openAttacker } from './raw-attack'

const patience = { timeout: 10_000, interval: 20 }

describe('a broker that is watched while it is attacked', () => {
  it('tells gaps of its event loop, its memory and its statistics', async () => {
    const broker = await HostileBroker.start({ scenarios: { 'blocking-hook': 150 } })
    await broker.reset()
    const calm = await broker.measure()
    const attacker = await connectAttacker(broker.port, { clientId: 'a' })
    attacker.write(Buffer.from('300500017478 79'.replaceAll(' ', ''), 'hex'))
    await vi.waitFor(async () => {
      const { gapMs, ownGapMs } = await broker.measure()
      expect(gapMs).toBeGreaterThan(149)
      expect(ownGapMs).toBeGreaterThan(100)
    }, patience)
    expect(calm.ownGapMs).toBeLessThan(150)
    const measured = await broker.measure({ collect: true })
    expect(measured).toMatchObject({ statistics: { clients: 1, connections: 1 }, events: { clientConnected: 1 } })
    expect(measured.cpuMs).toBeGreaterThan(100)
    expect(measured.peakRssBytes).toBeGreaterThan(10_000_000)
    expect(measured.heapBytes).toBeGreaterThan(1_000_000)
    await broker.reset()
    expect((await broker.measure()).gapMs).toBeLessThan(149)
  })

  it('does not hide that its process has died', async () => {
    const broker = await HostileBroker.start({ scenarios: { 'deadly-hook': undefined } })
    await openAttacker(broker.port).then((socket) => socket.write(connectBytes()))
    await vi.waitFor(() => expect(broker.ended).toBeInstanceOf(Error), patience)
    await expect(broker.measure()).rejects.toThrow(/ended \(7\)/)
  })

  it('serves an honest pair and newcomers, which tell how long they wait', async () => {
    const broker = await HostileBroker.start({ scenarios: { 'password-file': { ada: 'lovelace' } } })
    const connect = { username: 'ada', password: 'lovelace' }
    const pair = await HonestPair.start(broker.port, { connect })
    await vi.waitFor(async () => expect((await pair.measure()).delivered).toBeGreaterThan(20), patience)
    expect(await pair.newcomer({ localAddress: '127.0.0.2' })).toBeGreaterThan(0)
    await expect(pair.newcomer({ password: 'wrong' })).rejects.toThrow('CONNACK with 4')
    const report = await pair.finish()
    expect(report).toMatchObject({ lost: 0, repeated: 0, outOfOrder: 0 })
    expect(report).toMatchObject({ acknowledged: report.sent, delivered: report.sent })
    expect(report.failure).toBeUndefined()
    expect(report.longestMs).toBeGreaterThanOrEqual(report.p99Ms)
  })

  it('takes a flood as fast as it can, and keeps its store', async () => {
    const broker = await HostileBroker.start({ scenarios: { lmdb: { durability: 'interval' } } })
    const attacker = await connectAttacker(broker.port, { clientId: 'a', clean: false })
    const ping = Buffer.from('c000'.repeat(10_000), 'hex')
    expect(await flood(attacker, new Array(20).fill(ping))).toBe(400_000)
    expect((await broker.measure()).statistics.sessions).toBe(1)
  })
})
