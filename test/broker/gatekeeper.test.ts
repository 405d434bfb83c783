import { describe, expect, it } from 'vitest'
import { type Answer, readVerdict, withTimeout } from '../../src/broker/hooks/answers'
import { Gatekeeper, type SubscribeAnswer } from '../../src/broker/hooks/gatekeeper'
import { PublishView } from '../../src/broker/hooks/publish-view'
import type { Connection } from '../../src/broker/wire/connection'
import { settingsOf } from '../../src/options'
import type { Client } from '../../src/ports/client'
import type { Credentials, Hooks, SubscribeRequest } from '../../src/ports/hooks'
import { createMessage } from '../../src/protocol/message'
import { type ConnectPacket, PacketType, type SubscriptionRequest } from '../../src/protocol/packet'
import { SimulatedClock } from '../../src/testing/simulated-clock'
import { nextTurn } from '../support/slow-stream'

/** What the gatekeeper asks of a connection. */
class FakeConnection {
  closing = false
  readonly calls: string[] = []

  park(): void {
    this.calls.push('park')
  }

  unpark(): void {
    this.calls.push('unpark')
  }

  fail(error: unknown): void {
    this.calls.push(`fail: ${error instanceof Error ? error.message : String(error)}`)
  }

  get asConnection(): Connection {
    return this as unknown as Connection
  }
}

const client = { clientId: 'lamp' } as Client
const view = new PublishView(createMessage('a', Buffer.alloc(0), undefined, 0, false, 0, undefined), null)
const subscription: SubscriptionRequest = {
  filter: 'a/#',
  qos: 1,
  noLocal: false,
  retainAsPublished: false,
  retainHandling: 0,
}

function connectPacket(username?: string, password?: string): ConnectPacket {
  const packet: ConnectPacket = {
    type: PacketType.Connect,
    protocolName: 'MQTT',
    protocolVersion: 5,
    clean: true,
    keepAlive: 0,
    clientId: 'lamp',
    properties: {},
  }
  if (username !== undefined) packet.username = username
  if (password !== undefined) packet.password = Buffer.from(password)
  return packet
}

function start(hooks: Hooks) {
  const clock = new SimulatedClock()
  const gatekeeper = new Gatekeeper(settingsOf({ clock, hookTimeout: 1000 }, hooks))
  return { clock, gatekeeper, connection: new FakeConnection() }
}

/** Asks whether a PUBLISH is allowed; `answers` fills when the gatekeeper answers. */
function askToPublish(hook: Hooks['authorizePublish']) {
  const parts = start({ authorizePublish: hook })
  const answers: Answer[] = []
  parts.gatekeeper.authorizePublish(parts.connection.asConnection, client, view, (answer) => answers.push(answer))
  return { ...parts, answers }
}

const throws = (): never => {
  throw new Error('the database is away')
}

describe('readVerdict', () => {
  it.each<[unknown, number]>([
    [true, 0],
    [false, 0x87],
    [undefined, 0x87],
    [null, 0x87],
    [1, 0x87],
    ['true', 0x87],
    [{}, 0x87],
    [{ reasonCode: 0x97 }, 0x97],
    [{ reasonCode: 0x80 }, 0x80],
    [{ reasonCode: 0x7f }, 0x87],
    [{ reasonCode: 0 }, 0x87],
    [{ reasonCode: 0x100 }, 0x87],
    [{ reasonCode: 128.5 }, 0x87],
    [{ reasonCode: '0x97' }, 0x87],
  ])('reads %j as Reason Code %i', (verdict, reasonCode) => {
    expect(readVerdict(verdict, 0x87).reasonCode).toBe(reasonCode)
  })
})

describe('withTimeout', () => {
  it('settles as the promise does, and leaves no timer', async () => {
    const clock = new SimulatedClock()
    await expect(withTimeout(Promise.resolve(7), clock, 100)).resolves.toBe(7)
    await expect(withTimeout(Promise.reject(new Error('no')), clock, 100)).rejects.toThrow('no')
    expect(clock.pending).toBe(0)
  })

  it('rejects when the time is over, and not before', async () => {
    const clock = new SimulatedClock()
    const log: string[] = []
    void withTimeout(new Promise(() => undefined), clock, 100).catch((error: Error) => log.push(error.message))
    clock.advance(99)
    await nextTurn()
    expect(log).toEqual([])
    clock.advance(1)
    await nextTurn()
    expect(log).toEqual(['no answer within 100 ms'])
  })
})

describe('the question whether a PUBLISH is allowed', () => {
  it('is answered at once where there is no hook, or where the hook answers at once', () => {
    for (const hook of [undefined, () => true]) {
      const { answers, connection } = askToPublish(hook)
      expect(answers.map(({ reasonCode }) => reasonCode)).toEqual([0])
      expect(connection.calls).toEqual([])
    }
  })

  it('is denied at once by false, by a Denial and by a throw', () => {
    expect(askToPublish(() => false).answers).toMatchObject([{ reasonCode: 0x87, error: undefined }])
    const denial = { reasonCode: 0x97, reasonString: 'enough' }
    expect(askToPublish(() => denial).answers).toEqual([{ reasonCode: 0x97, denial, error: undefined }])
    const { answers, connection } = askToPublish(throws)
    expect(answers).toMatchObject([
      { reasonCode: 0x87, error: { code: 'GNATMQ_HOOK_FAILED', cause: { message: 'the database is away' } } },
    ])
    expect(connection.calls).toEqual([])
  })

  it.each<[string, () => Promise<boolean>, number]>([
    ['true', () => Promise.resolve(true), 0],
    ['false', () => Promise.resolve(false), 0x87],
    ['a rejection', () => Promise.reject(new Error('the database is away')), 0x87],
  ])('parks the client until the promise answers with %s', async (_, hook, reasonCode) => {
    const { answers, connection, clock } = askToPublish(hook)
    expect([answers, connection.calls]).toEqual([[], ['park']])
    await nextTurn()
    expect(answers.map((answer) => answer.reasonCode)).toEqual([reasonCode])
    expect(connection.calls).toEqual(['park', 'unpark'])
    expect(clock.pending).toBe(0)
  })

  it('is denied when the hook outlives its timeout, and a later answer changes nothing', async () => {
    let allow = (_verdict: boolean): void => undefined
    const { answers, connection, clock } = askToPublish(() => new Promise<boolean>((resolve) => (allow = resolve)))
    clock.advance(999)
    await nextTurn()
    expect(answers).toEqual([])
    clock.advance(1)
    await nextTurn()
    expect(answers).toMatchObject([{ reasonCode: 0x87, error: { code: 'GNATMQ_HOOK_FAILED' } }])
    allow(true)
    await nextTurn()
    expect([answers.length, connection.calls]).toEqual([1, ['park', 'unpark']])
  })

  it('is not answered to a client that has gone in the meantime', async () => {
    const { answers, connection } = askToPublish(() => Promise.resolve(true))
    connection.closing = true
    await nextTurn()
    expect(answers).toEqual([])
  })

  it('ends the connection, not the process, when what follows the answer throws', async () => {
    const { gatekeeper, connection } = start({ authorizePublish: () => Promise.resolve(true) })
    gatekeeper.authorizePublish(connection.asConnection, client, view, throws)
    await nextTurn()
    expect(connection.calls).toEqual(['park', 'fail: the database is away', 'unpark'])
  })

  it('may be about nobody’s connection: a Will', async () => {
    const { gatekeeper } = start({ authorizePublish: () => Promise.resolve(true) })
    const answers: Answer[] = []
    gatekeeper.authorizePublish(null, client, view, (answer) => answers.push(answer))
    await nextTurn()
    expect(answers).toMatchObject([{ reasonCode: 0 }])
  })
})

describe('the question whether a client may connect', () => {
  function ask(authenticate: Hooks['authenticate'], packet: ConnectPacket): Answer[] {
    const { gatekeeper, connection } = start({ authenticate })
    const answers: Answer[] = []
    gatekeeper.authenticate(connection.asConnection, client, packet, (answer) => answers.push(answer))
    return answers
  }

  it('hands on user name and password, or that there are none', () => {
    const seen: Credentials[] = []
    const note = (_client: Client, credentials: Credentials): boolean => seen.push(credentials) > 0
    ask(note, connectPacket('user', 'secret'))
    ask(note, connectPacket())
    expect(seen).toEqual([
      { username: 'user', password: Buffer.from('secret') },
      { username: undefined, password: undefined },
    ])
  })

  it('is denied with 0x86 to one who gave a name, and with 0x87 to one who gave none', () => {
    expect(ask(() => false, connectPacket('user', 'wrong'))).toMatchObject([{ reasonCode: 0x86 }])
    expect(ask(() => false, connectPacket())).toMatchObject([{ reasonCode: 0x87 }])
  })

  it('is denied when the hook throws', () => {
    expect(ask(throws, connectPacket('user', 'secret'))).toMatchObject([
      { reasonCode: 0x87, error: { code: 'GNATMQ_HOOK_FAILED' } },
    ])
  })
})

describe('the question whether a client may subscribe', () => {
  function ask(authorizeSubscribe: Hooks['authorizeSubscribe']): SubscribeAnswer[] {
    const { gatekeeper, connection } = start({ authorizeSubscribe })
    const answers: SubscribeAnswer[] = []
    gatekeeper.authorizeSubscribe(connection.asConnection, client, subscription, 7, [['a', 'b']], (answer) =>
      answers.push(answer),
    )
    return answers
  }

  it('tells the hook all that was asked for', () => {
    const seen: SubscribeRequest[] = []
    ask((_client, request) => seen.push(request) > 0)
    expect(seen).toEqual([{ ...subscription, subscriptionIdentifier: 7, userProperties: [['a', 'b']] }])
  })

  it.each<[unknown, number, number]>([
    [true, 0, 1],
    [{ qos: 0 }, 0, 0],
    [{ qos: 1 }, 0, 1],
    [{ qos: 2 }, 0, 1],
    [{ qos: 3 }, 0x87, 1],
    [{ qos: 1, reasonCode: 0x97 }, 0x97, 1],
    [false, 0x87, 1],
    [undefined, 0x87, 1],
  ])('with the verdict %j it grants', (verdict, reasonCode, qos) => {
    expect(ask(() => verdict as boolean)).toMatchObject([{ answer: { reasonCode }, qos }])
  })

  it('is granted as asked where there is no hook, and denied where it throws', () => {
    expect(ask(undefined)).toMatchObject([{ answer: { reasonCode: 0 }, qos: 1 }])
    expect(ask(throws)).toMatchObject([{ answer: { reasonCode: 0x87, error: { code: 'GNATMQ_HOOK_FAILED' } } }])
  })
})
