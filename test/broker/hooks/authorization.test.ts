import { describe, expect, it } from 'vitest'
import type { Answer } from '../../../src/broker/hooks/answers'
import { Authorization } from '../../../src/broker/hooks/authorization'
import { HookRunner } from '../../../src/broker/hooks/hook-runner'
import { PublishView, willView } from '../../../src/broker/hooks/publish-view'
import type { Client } from '../../../src/ports/client'
import type { AuthenticationExchange, Credentials, Hooks, SubscribeRequest } from '../../../src/ports/hooks'
import { type Logger, silentLogger } from '../../../src/ports/logger'
import { createMessage } from '../../../src/protocol/message'
import { type ConnectPacket, PacketType, type SubscriptionRequest, type WillPacket } from '../../../src/protocol/packet'
import { SimulatedClock } from '../../../src/testing/simulated-clock'
import { nextTurn } from '../../support/slow-stream'

const client = { clientId: 'lamp', identify: () => undefined } as unknown as Client & {
  username: string | undefined
  identify(): void
}
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
  const warnings: string[] = []
  const logger: Logger = { ...silentLogger, warn: (_fields, text) => warnings.push(text) }
  return { clock, warnings, authorization: new Authorization(hooks, new HookRunner(clock, 1000), logger, clock) }
}

/** Asks whether a PUBLISH is allowed. */
function askToPublish(hook: Hooks['authorizePublish']) {
  const { authorization, clock } = start({ authorizePublish: hook })
  return { answer: authorization.publish(client, view), clock }
}

/** Asks the same; `answers` fills when the answer comes, and not before. */
function waitToPublish(hook: Hooks['authorizePublish']) {
  const { answer, clock } = askToPublish(hook)
  if (!(answer instanceof Promise)) throw new Error('it was answered at once')
  const answers: Answer[] = []
  void answer.then((later) => answers.push(later))
  return { answers, clock }
}

const throws = (): never => {
  throw new Error('the database is away')
}

describe('the question whether a PUBLISH is allowed', () => {
  it('is answered at once where there is no hook, or where the hook answers at once', () => {
    for (const hook of [undefined, () => true]) expect(askToPublish(hook).answer).toMatchObject({ reasonCode: 0 })
  })

  it('is denied at once by false, by a Denial and by a throw', () => {
    expect(askToPublish(() => false).answer).toMatchObject({ reasonCode: 0x87, error: undefined })
    const denial = { reasonCode: 0x97, reasonString: 'enough' }
    expect(askToPublish(() => denial).answer).toEqual({ reasonCode: 0x97, denial, error: undefined })
    expect(askToPublish(throws).answer).toMatchObject({
      reasonCode: 0x87,
      error: { code: 'GNATMQ_HOOK_FAILED', cause: { message: 'the database is away' } },
    })
  })

  it.each<[string, () => Promise<boolean>, number]>([
    ['true', () => Promise.resolve(true), 0],
    ['false', () => Promise.resolve(false), 0x87],
    ['a rejection', () => Promise.reject(new Error('the database is away')), 0x87],
  ])('is open until the promise answers with %s', async (_, hook, reasonCode) => {
    const { answers, clock } = waitToPublish(hook)
    expect(answers).toEqual([])
    await nextTurn()
    expect(answers.map((answer) => answer.reasonCode)).toEqual([reasonCode])
    expect(clock.pending).toBe(0)
  })

  it('is denied when the hook outlives its timeout, and a later answer changes nothing', async () => {
    let allow = (_verdict: boolean): void => undefined
    const { answers, clock } = waitToPublish(() => new Promise<boolean>((resolve) => (allow = resolve)))
    clock.advance(999)
    await nextTurn()
    expect(answers).toEqual([])
    clock.advance(1)
    await nextTurn()
    expect(answers).toMatchObject([{ reasonCode: 0x87, error: { code: 'GNATMQ_HOOK_FAILED' } }])
    allow(true)
    await nextTurn()
    expect(answers).toHaveLength(1)
  })

  it('may be about nobody’s connection: a Will', async () => {
    const topics: string[] = []
    const { authorization } = start({
      authorizePublish: async (_client, { topic }) => topics.push(topic) > 0,
    })
    const will: WillPacket = {
      topic: 'will',
      payload: Buffer.from('x'),
      qos: 1,
      retain: false,
      willDelayInterval: 0,
      properties: {},
    }
    expect(await authorization.publish(client, willView(will))).toMatchObject({ reasonCode: 0 })
    expect(topics).toEqual(['will'])
  })

  it('is not put again for a verdict that is there already: the verdict is read as the answer of the hook', async () => {
    const { authorization } = start({ authorizePublish: throws })
    expect(authorization.readPublish(() => false)).toMatchObject({ reasonCode: 0x87, error: undefined })
    expect(await authorization.readPublish(() => Promise.resolve(true))).toMatchObject({ reasonCode: 0 })
    expect(await authorization.readPublish(() => Promise.reject(new Error('no')))).toMatchObject({
      reasonCode: 0x87,
      error: { code: 'GNATMQ_HOOK_FAILED', cause: { message: 'no' } },
    })
  })
})

describe('the question whether a client may connect', () => {
  const ask = (authenticate: Hooks['authenticate'], packet: ConnectPacket) =>
    start({ authenticate }).authorization.authenticate(client, packet)

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
    expect(ask(() => false, connectPacket('user', 'wrong'))).toMatchObject({ reasonCode: 0x86 })
    expect(ask(() => false, connectPacket())).toMatchObject({ reasonCode: 0x87 })
  })

  it('is denied when the hook throws', () => {
    expect(ask(throws, connectPacket('user', 'secret'))).toMatchObject({
      reasonCode: 0x87,
      error: { code: 'GNATMQ_HOOK_FAILED' },
    })
  })
})

describe('the question whether a client may subscribe', () => {
  const ask = (authorizeSubscribe: Hooks['authorizeSubscribe']) =>
    start({ authorizeSubscribe }).authorization.subscribe(client, subscription, 7, [['a', 'b']])

  it('tells the hook all that was asked for', () => {
    const seen: SubscribeRequest[] = []
    ask((_client, request) => seen.push(request) > 0)
    const rest = { topicFilter: 'a/#', shareName: undefined, subscriptionIdentifier: 7, userProperties: [['a', 'b']] }
    expect(seen).toEqual([{ ...subscription, ...rest }])
  })

  it.each([
    ['$share/g/a/#', 'a/#', 'g'],
    ['$share/g//', '/', 'g'],
    ['$share/$share/$share/g/a', '$share/g/a', '$share'],
    ['$shared/g/a', '$shared/g/a', undefined],
  ])('tells the hook what a filter matches by: %s', (filter, topicFilter, shareName) => {
    const seen: SubscribeRequest[] = []
    const { authorization } = start({ authorizeSubscribe: (_client, request) => seen.push(request) > 0 })
    void authorization.subscribe(client, { ...subscription, filter }, undefined, [])
    expect(seen).toMatchObject([{ filter, topicFilter, shareName }])
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
    expect(ask(() => verdict as boolean)).toMatchObject({ answer: { reasonCode }, qos })
  })

  it('is granted as asked where there is no hook, and denied where it throws', () => {
    expect(ask(undefined)).toMatchObject({ answer: { reasonCode: 0 }, qos: 1 })
    expect(ask(throws)).toMatchObject({ answer: { reasonCode: 0x87, error: { code: 'GNATMQ_HOOK_FAILED' } } })
  })
})

describe('the question whether a message may be delivered', () => {
  const message = createMessage('a', Buffer.alloc(0), undefined, 0, false, 0, undefined)

  function gate(authorizeDelivery: (() => unknown) | undefined) {
    const calls: string[] = []
    const journal = { suspend: () => void calls.push('suspend'), resume: () => void calls.push('resume') }
    const { authorization, warnings } = start({ authorizeDelivery: authorizeDelivery as Hooks['authorizeDelivery'] })
    return { gate: authorization.deliveryGate(client, journal), calls, warnings }
  }

  it('is not put where there is no hook', () => {
    expect(gate(undefined).gate).toBeNull()
  })

  it('is allowed by true alone, with the step suspended while the hook is asked', () => {
    for (const [verdict, allowed] of [
      [true, true],
      [false, false],
      [undefined, false],
      [1, false],
    ] as const) {
      const parts = gate(() => parts.calls.push('hook') > 0 && verdict)
      expect(parts.gate!(message, 0)).toBe(allowed)
      expect([parts.calls, parts.warnings]).toEqual([['suspend', 'hook', 'resume'], []])
    }
  })

  it('is denied by a throw, and the step goes on', () => {
    const parts = gate(throws)
    expect(parts.gate!(message, 0)).toBe(false)
    expect(parts.calls).toEqual(['suspend', 'resume'])
    expect(parts.warnings).toEqual(['the authorizeDelivery hook failed, so the answer is no: the database is away'])
  })

  it.each([
    ['true', () => Promise.resolve(true), 'it must answer at once'],
    ['a rejection', () => Promise.reject(new Error('the database is away')), 'the database is away'],
  ])('is denied by a promise, however it settles: %s', async (_, hook, reason) => {
    const parts = gate(hook)
    expect(parts.gate!(message, 0)).toBe(false)
    await nextTurn()
    expect(parts.warnings).toEqual([`the authorizeDelivery hook failed, so the answer is no: ${reason}`])
  })
})

describe('a step of an enhanced authentication', () => {
  const step = (exchange: AuthenticationExchange['step'], data?: Uint8Array) =>
    start({}).authorization.authenticationStep({ step: exchange }, data)

  it('gets a copy of what the client sent', () => {
    const sent = Buffer.from('sent')
    const seen: unknown[] = []
    step((data) => {
      seen.push(data)
      return { success: true }
    }, sent)
    step((data) => {
      seen.push(data)
      return { success: true }
    })
    sent.fill(0)
    expect(seen).toEqual([Buffer.from('sent'), undefined])
  })

  it('is answered by the method itself, at once or later', async () => {
    expect(step(() => ({ success: true }))).toMatchObject({ verdict: { success: true }, failure: null })
    expect(await step(async () => ({ success: true }))).toMatchObject({ verdict: { success: true }, failure: null })
  })

  it('fails where the method throws or rejects', async () => {
    const failure = { reasonCode: 0x87, error: { code: 'GNATMQ_HOOK_FAILED' } }
    expect(step(throws)).toMatchObject({ verdict: undefined, failure })
    expect(await step(async () => throws())).toMatchObject({ verdict: undefined, failure })
  })
})
