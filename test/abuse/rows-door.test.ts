import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { connectClient, openClient, startBroker } from '../support/broker'
import type { RawClient } from '../support/raw-client'
import { isMeasured, mayTake } from './figures'
import { HonestPair } from './honest-pair'
import { HostileBroker } from './hostile-broker'
import { Child } from './questions.mjs'
import { connectAttacker, connectBytes, openAttacker } from './raw-attack'

const patience = { timeout: 30_000, interval: 20 }
const newcomers = 5
/** The figures are those of a machine that others leave alone. */
const onBusyMachines = { retry: 2, timeout: 60_000 }

async function flood(kind: 'close' | 'reset' | 'hello' | 'guess', port: number, sockets: number): Promise<Child> {
  const child = await Child.start('./door-flood-process.mjs', { args: [JSON.stringify({ kind, port, sockets })] })
  onTestFinished(() => child.stop())
  await child.ask('start')
  return child
}

/** The longest time that one of several newcomers of an address waits for its CONNACK, one after the other. */
async function longestWait(pair: HonestPair, options: Record<string, unknown>): Promise<number> {
  let longest = 0
  for (let n = 0; n < newcomers; n++) longest = Math.max(longest, await pair.newcomer(options))
  return longest
}

describe('500 CONNECTs with a wrong password', onBusyMachines, () => {
  it('leave a right login under a second, and the acknowledgements of a durable store unharmed', async () => {
    const broker = await HostileBroker.start({
      scenarios: { 'password-file': { ada: 'lovelace' }, lmdb: undefined },
    })
    const connect = { username: 'ada', password: 'lovelace' }
    const pair = await HonestPair.start(broker.port, { connect: { ...connect, clean: false } })
    await vi.waitFor(async () => expect((await pair.measure()).delivered).toBeGreaterThan(50), patience)
    await pair.reset()
    const guessers = await Promise.all(Array.from({ length: 500 }, () => openAttacker(broker.port)))
    for (const [n, guesser] of guessers.entries())
      guesser.write(connectBytes({ username: 'ada', password: `wrong ${n}` }))
    expect(await longestWait(pair, { localAddress: '127.0.0.2' })).toBeLessThan(mayTake(1000, 4))
    const { longestMs, ownDelayMs } = await pair.measure()
    expect(longestMs).toBeLessThan(mayTake(1000, 4) + ownDelayMs)
    expect(await pair.finish()).toMatchObject({ lost: 0, repeated: 0 })
  })

  it('leave it under a second also from their own address', async () => {
    const broker = await HostileBroker.start({ scenarios: { 'password-file': { ada: 'lovelace' } } })
    const pair = await HonestPair.start(broker.port, { connect: { username: 'ada', password: 'lovelace' } })
    const guessers = await Promise.all(Array.from({ length: 500 }, () => openAttacker(broker.port)))
    for (const [n, guesser] of guessers.entries())
      guesser.write(connectBytes({ username: 'ada', password: `wrong ${n}` }))
    const waited = await longestWait(pair, { localAddress: '127.0.0.1' })
    if (isMeasured) console.log(`a right login from the address of 500 guesses: ${waited.toFixed()} ms`)
    expect(waited).toBeLessThan(mayTake(1000, 4))
  })

  it('leave it under a second also while they come again and again', async () => {
    const broker = await HostileBroker.start({ scenarios: { 'password-file': { ada: 'lovelace' } } })
    const pair = await HonestPair.start(broker.port, { connect: { username: 'ada', password: 'lovelace' } })
    await flood('guess', broker.port, 100)
    expect(await longestWait(pair, { localAddress: '127.0.0.2' })).toBeLessThan(mayTake(1000, 4))
  })
})

describe('guesses at passwords', onBusyMachines, () => {
  it('are asked about exactly as often as one address may fail, however slow the hook is', async () => {
    const answers: (() => void)[] = []
    const broker = await startBroker({
      host: '127.0.0.1',
      authenticate: () => new Promise((resolve) => answers.push(() => resolve(false))),
    })
    const guess = connectBytes({ username: 'ada', password: 'wrong' })
    const guessers = await Promise.all(Array.from({ length: 1500 }, () => openAttacker(broker.port)))
    for (const guesser of guessers) guesser.write(guess)
    await vi.waitFor(() => expect(answers.length).toBe(600), patience)
    for (const answer of answers.splice(0)) answer()
    const late = await openClient(broker)
    const { reasonCode } = await late.connect({ protocolVersion: 5, username: 'ada', password: 'wrong' })
    expect([reasonCode, answers.length]).toEqual([0x9f, 0])
    await vi.waitFor(() => expect(broker.statistics.connections).toBe(0), patience)
  })
})

describe('a flood of connections from one address', onBusyMachines, () => {
  it('that close at once, beside a pair that saturates the broker, lets newcomers of another in within 2 s', async () => {
    const broker = await HostileBroker.start()
    const pair = await HonestPair.start(broker.port, { perSecond: null })
    const attack = await flood('close', broker.port, 300)
    await vi.waitFor(async () => expect(await attack.ask<number>('rounds')).toBeGreaterThan(1000), patience)
    expect(await longestWait(pair, { localAddress: '127.0.0.2' })).toBeLessThan(mayTake(2000, 4))
    expect(await pair.finish()).toMatchObject({ lost: 0, repeated: 0 })
  })

  it('that send a ClientHello lets newcomers of another in within 2 s', async () => {
    const broker = await HostileBroker.start({ scenarios: { tls: undefined } })
    const pair = await HonestPair.start(broker.port, { perSecond: null })
    const attack = await flood('hello', broker.ports[1]!, 4000)
    await vi.waitFor(async () => expect(await attack.ask<number>('rounds')).toBeGreaterThan(300), patience)
    expect(await longestWait(pair, { localAddress: '127.0.0.2' })).toBeLessThan(mayTake(2000, 4))
    expect(await pair.finish()).toMatchObject({ lost: 0, repeated: 0 })
  })

  it('that say nothing, as many as it may have, leaves room for another', async () => {
    const broker = await HostileBroker.start({
      options: { limits: { maximumHalfOpenConnections: 200, maximumHalfOpenConnectionsPerAddress: 200 } },
    })
    await Promise.all(Array.from({ length: 500 }, () => openAttacker(broker.port)))
    await vi.waitFor(async () => expect((await broker.measure()).events.GNATMQ_SERVER_BUSY).toBe(300), patience)
    const friend = await connectAttacker(broker.port, { clientId: 'friend' }, { localAddress: '127.0.0.2' })
    expect(friend.destroyed).toBe(false)
    expect((await broker.measure()).statistics).toMatchObject({ clients: 1, connections: 200 })
  })
})

describe('the descriptors of closed connections', onBusyMachines, () => {
  it('are given back where a flood resets each of them, and no more are open than half-open connections may be', async () => {
    const broker = await HostileBroker.start({ options: { limits: { maximumHalfOpenConnections: 200 } } })
    const pair = await HonestPair.start(broker.port, { perSecond: null })
    const before = (await broker.measure()).openFiles
    const attack = await flood('reset', broker.port, 300)
    let most = 0
    await vi.waitFor(async () => {
      most = Math.max(most, (await broker.measure()).openFiles)
      expect(await attack.ask<number>('rounds')).toBeGreaterThan(10_000)
    }, patience)
    expect(most - before).toBeLessThan(300)
    await attack.stop()
    await vi.waitFor(async () => expect((await broker.measure()).openFiles - before).toBeLessThan(20), patience)
    expect(await pair.finish()).toMatchObject({ lost: 0, repeated: 0 })
  })

  it('are given back where the peers of refused CONNECTs neither read nor close', async () => {
    const broker = await HostileBroker.start({ scenarios: { 'password-file': { ada: 'lovelace' } } })
    const before = (await broker.measure()).openFiles
    const peers = await Promise.all(Array.from({ length: 200 }, () => openAttacker(broker.port, { reads: false })))
    for (const peer of peers) {
      peer.allowHalfOpen = true
      peer.write(connectBytes())
    }
    await vi.waitFor(async () => {
      const { statistics, openFiles } = await broker.measure()
      const refused = Object.values(statistics.refusedConnections).reduce((sum, n) => sum + n, 0)
      expect([refused, openFiles - before < 20]).toEqual([200, true])
    }, patience)
    expect(peers.filter(({ destroyed }) => destroyed)).toEqual([])
  })
})

describe('a hook that never answers those of one address', onBusyMachines, () => {
  it('is asked by no more than half of what may be pending, and answers another address', async () => {
    let asked = 0
    const broker = await startBroker({
      host: '127.0.0.1',
      stopTimeout: 100,
      limits: { maximumFailedConnectsPerAddress: 10_000, maximumPendingAuthentications: 200 },
      authenticate: ({ remoteAddress }) => {
        asked++
        return remoteAddress === '127.0.0.1' ? new Promise(() => undefined) : true
      },
    })
    const attackers = await Promise.all(Array.from({ length: 250 }, () => openAttacker(broker.port)))
    for (const attacker of attackers) attacker.write(connectBytes())
    await vi.waitFor(() => expect(asked).toBe(100), patience)
    const begun = performance.now()
    const friend = await connectAttacker(broker.port, { clientId: 'friend' }, { localAddress: '127.0.0.2' })
    expect([friend.destroyed, asked]).toEqual([false, 101])
    expect(performance.now() - begun).toBeLessThan(mayTake(2000, 4))
  })

  it('goes on with those that wait when its turn is given up', async () => {
    const answers: ((verdict: boolean) => void)[] = []
    const broker = await startBroker({
      host: '127.0.0.1',
      limits: { maximumPendingAuthentications: 2 },
      authenticate: () => new Promise((resolve) => answers.push(resolve)),
    })
    const first = await openClient(broker)
    first.sendConnect()
    await vi.waitFor(() => expect(answers.length).toBe(1), patience)
    const gone = await openClient(broker)
    gone.sendConnect()
    const second = await openClient(broker)
    const accepted = second.connect()
    gone.destroy()
    answers[0]!(true)
    await vi.waitFor(() => expect(answers.length).toBeGreaterThan(1), patience)
    for (let n = 1; n < 3; n++) {
      answers[n]?.(true)
      await vi.waitFor(() => expect(second.received.length + answers.length).toBeGreaterThan(n + 1), patience)
    }
    expect((await accepted).returnCode).toBe(0)
  })
})

describe('an exchange of AUTH that never ends', onBusyMachines, () => {
  const exchange = { step: () => ({ continue: Buffer.from('and?') }) }

  it('holds half of the places at the most, and gives its place back when the client goes', async () => {
    const broker = await startBroker({
      host: '127.0.0.1',
      limits: { maximumPendingAuthentications: 4 },
      authenticate: () => true,
      authenticationMethods: { endless: () => exchange },
    })
    const properties = { authenticationMethod: 'endless', authenticationData: Buffer.from('x') }
    const begin = async (): Promise<RawClient> => {
      const client = await openClient(broker)
      client.sendConnect({ protocolVersion: 5, properties })
      return client
    }
    const [first] = await Promise.all(
      [begin(), begin()].map(async (opened) => {
        const client = await opened
        await client.next('auth')
        return client
      }),
    )
    const third = await openClient(broker)
    const accepted = third.connect({ protocolVersion: 5 })
    first!.destroy()
    expect((await accepted).reasonCode).toBe(0)
  })
})

describe('a re-authentication', onBusyMachines, () => {
  it('as another user ends the connection, and leaves the session to the user that has it', async () => {
    let username = 'ada'
    const broker = await startBroker({
      host: '127.0.0.1',
      authenticate: () => true,
      authenticationMethods: { name: () => ({ step: () => ({ success: true, username }) }) },
    })
    const properties = { authenticationMethod: 'name' }
    const client = await connectClient(broker, { protocolVersion: 5, properties })
    client.send({ cmd: 'auth', reasonCode: 0x19, properties } as never)
    expect(await client.next('auth')).toMatchObject({ reasonCode: 0 })
    username = 'mallory'
    client.send({ cmd: 'auth', reasonCode: 0x19, properties } as never)
    expect(await client.next('disconnect')).toMatchObject({ reasonCode: 0x87 })
  })
})
