import { connect as connectTcp } from 'node:net'
import { describe, expect, it, vi } from 'vitest'
import { addressKey } from '../../src/ports/remote-address'
import { connectClient, openClient, startBroker } from '../support/broker'
import { nextEvent } from '../support/broker-event'

const patience = { timeout: 10_000, interval: 10 }

describe('a wrong password in a loop', () => {
  it('is refused with 0x9F before anybody is asked, and told of; who is connected stays', async () => {
    let asked = 0
    const broker = await startBroker({
      limits: { maximumFailedConnectsPerAddress: 3 },
      authenticate: (_client, { password }) => {
        asked++
        return password?.toString() === 'right'
      },
    })
    const friend = await connectClient(broker, { username: 'a', password: 'right' })
    for (let n = 0; n < 3; n++) {
      const guesser = await openClient(broker)
      const connack = await guesser.connect({ protocolVersion: 5, username: 'a', password: `guess ${n}` })
      expect(connack.reasonCode).toBe(0x86)
    }
    expect(asked).toBe(4)
    const told = nextEvent(broker, 'clientError')
    const late = await openClient(broker)
    expect((await late.connect({ protocolVersion: 5, username: 'a', password: 'right' })).reasonCode).toBe(0x9f)
    expect((await told)[0].code).toBe('GNATMQ_CONNECTION_RATE')
    const old = await openClient(broker)
    expect((await old.connect({ username: 'a', password: 'right' })).returnCode).toBe(3)
    expect(asked).toBe(4)
    expect(await friend.quiet()).toEqual([])
  })

  it.each([
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['192.0.2.1', '192.0.2.1'],
  ])('counts %s as %s', (address, counted) => {
    expect(addressKey(address)).toBe(counted)
  })

  it('is not counted where the hook failed, or sent the client elsewhere', async () => {
    let answer: () => { reasonCode: number } = () => ({ reasonCode: 0x9c })
    const broker = await startBroker({
      limits: { maximumFailedConnectsPerAddress: 1 },
      authenticate: () => answer(),
    })
    for (const expected of [0x9c, 0x9c]) {
      const client = await openClient(broker)
      expect((await client.connect({ protocolVersion: 5 })).reasonCode).toBe(expected)
    }
    answer = () => {
      throw new Error('the data base is down')
    }
    for (const expected of [0x87, 0x87]) {
      const client = await openClient(broker)
      expect((await client.connect({ protocolVersion: 5 })).reasonCode).toBe(expected)
    }
  })
})

describe('limits of connections and sessions', () => {
  it('hold for clients whose authentication takes its time, too', async () => {
    const answers: (() => void)[] = []
    const broker = await startBroker({
      limits: { maximumConnections: 2 },
      authenticate: () => new Promise((resolve) => answers.push(() => resolve(true))),
    })
    const clients = await Promise.all(Array.from({ length: 5 }, () => openClient(broker)))
    const codes = clients.map((client) => client.connect({ protocolVersion: 5 }))
    await vi.waitFor(() => expect(answers).toHaveLength(5), patience)
    for (const answer of answers) answer()
    const received = (await Promise.all(codes)).map(({ reasonCode }) => reasonCode)
    expect(received.sort()).toEqual([0, 0, 0x89, 0x89, 0x89])
    expect(broker.statistics.clients).toBe(2)
  })

  it('bound the sessions that absent clients leave behind, and let those in who have one', async () => {
    const broker = await startBroker({ limits: { maximumSessions: 2 } })
    for (const clientId of ['a', 'b']) {
      const client = await connectClient(broker, { clientId, clean: false })
      await client.disconnect()
    }
    const third = await openClient(broker)
    expect((await third.connect({ clientId: 'c', protocolVersion: 5 })).reasonCode).toBe(0x97)
    const known = await openClient(broker)
    expect(await known.connect({ clientId: 'a', clean: false })).toMatchObject({ returnCode: 0, sessionPresent: true })
  })

  it('refuse more connections of one address, before and after their CONNECT, and count those that go', async () => {
    const broker = await startBroker({ limits: { maximumConnectionsPerAddress: 2 } })
    const silent = await openClient(broker)
    const friend = await connectClient(broker)
    const third = await openClient(broker)
    await third.closed()
    silent.destroy()
    await vi.waitFor(() => expect(broker.statistics.connections).toBe(1), patience)
    await connectClient(broker)
    const elsewhere = connectTcp({ port: broker.port, host: '127.0.0.1', localAddress: '127.0.0.2' })
    await vi.waitFor(() => expect(broker.statistics.connections).toBe(3), patience)
    elsewhere.destroy()
    expect(await friend.quiet()).toEqual([])
  })
})

describe('a SUBSCRIBE of many filters', () => {
  const filters = Array.from({ length: 20_000 }, (_, n) => `f/${n}`)

  it('is answered, with a hook and without, and its session resumes', async () => {
    const broker = await startBroker({ authorizeSubscribe: () => true })
    const client = await connectClient(broker, { clientId: 'many', clean: false })
    const suback = await client.subscribe(filters, 1)
    expect(suback.granted).toHaveLength(filters.length)
    await client.disconnect()
    const again = await openClient(broker)
    expect(await again.connect({ clientId: 'many', clean: false })).toMatchObject({ sessionPresent: true })
    expect(broker.statistics.subscriptions).toBe(filters.length)
  })
})

describe('more share names of one filter than a call takes arguments', () => {
  it('are no obstacle to a message', async () => {
    const broker = await startBroker()
    const names = Array.from({ length: 70_000 }, (_, n) => `$share/${n}/t`)
    for (let n = 0; n < 3; n++) {
      const client = await connectClient(broker)
      await client.subscribe(names.map((name) => name.replace('/', `/${n}-`)))
      client.pause()
    }
    const publisher = await connectClient(broker)
    await publisher.publish('t', 'x', { qos: 1 })
    expect(publisher.isClosed).toBe(false)
  })
})
