import { describe, expect, it } from 'vitest'
import type { AuthenticationStep } from '../../../src/ports/hooks'
import { binary, block, bytes, packet, string, u16 } from '../../protocol/packet-bytes'
import { startBroker } from '../../support/broker'
import type { RawClient } from '../../support/raw-client'
import { connect, lastWord, open, sizes } from './clients'

type Step = (data: string | undefined, step: number) => AuthenticationStep | Promise<AuthenticationStep>

/** A broker with one Authentication Method, `steps`, that does as the test says. */
function withMethod(answer: Step) {
  return startBroker({
    authenticate: () => true,
    authenticationMethods: {
      steps: () => {
        let step = 0
        return { step: (data) => answer(data?.toString(), step++) }
      },
    },
  })
}

/** Two questions, then yes. */
const twoQuestions: Step = (data, step) => {
  if (step === 0 && data === 'hello') return { continue: Buffer.from('first?') }
  if (step === 1 && data === 'one') return { continue: Buffer.from('second?') }
  return step === 2 && data === 'two' ? { success: true, data: Buffer.from('welcome') } : false
}

const method = (name: string, data?: string) =>
  block(bytes(21, string(name)), ...(data === undefined ? [] : [bytes(22, binary(Buffer.from(data)))]))

const auth = (code: number, name = 'steps', data?: string) => packet(0xf0, code, method(name, data))

function sendConnect(client: RawClient, properties: Buffer, clientId = 'auth'): void {
  client.sendBytes(packet(0x10, string('MQTT'), 5, 2, u16(0), properties, string(clientId)))
}

/** A client whose enhanced authentication has succeeded. */
async function authenticated(broker: Awaited<ReturnType<typeof withMethod>>): Promise<RawClient> {
  const client = await open(broker)
  sendConnect(client, method('steps', 'hello'))
  await client.next('auth')
  client.sendBytes(auth(0x18, 'steps', 'one'))
  await client.next('auth')
  client.sendBytes(auth(0x18, 'steps', 'two'))
  expect(await client.next('connack')).toMatchObject({ reasonCode: 0 })
  return client
}

describe('section 3.15: AUTH', () => {
  it('[MQTT-3.15.1-1] AUTH with flags closes the connection with 0x81', async () => {
    const broker = await withMethod(twoQuestions)
    for (const flags of [1, 2, 4, 8]) {
      const client = await authenticated(broker)
      const whole = auth(0x19)
      whole[0] = 0xf0 | flags
      client.sendBytes(whole)
      expect(await lastWord(client)).toBe(0x81)
    }
  })

  it('[MQTT-3.15.1-1] AUTH of the broker has no flags', async () => {
    const client = await authenticated(await withMethod(twoQuestions))
    expect(sizes(client).map(({ first }) => first)).toEqual([0xf0, 0xf0, 0x20])
  })

  it('[MQTT-3.15.2-1] AUTH of a client with another Reason Code closes the connection', async () => {
    const broker = await withMethod(twoQuestions)
    for (const code of [0x00, 0x01, 0x04, 0x80, 0x87, 0xff]) {
      const client = await authenticated(broker)
      client.sendBytes(auth(code))
      expect([0x81, 0x82]).toContain(await lastWord(client))
    }
  })

  it('[MQTT-3.15.2-1] [MQTT-4.12.0-2] AUTH of the broker is 0x18 to go on, and 0x00 when a re-authentication is done', async () => {
    const client = await authenticated(await withMethod(twoQuestions))
    client.sendBytes(auth(0x19, 'steps', 'hello'))
    expect(await client.next('auth')).toMatchObject({ reasonCode: 0x18 })
    client.sendBytes(auth(0x18, 'steps', 'one'))
    await client.next('auth')
    client.sendBytes(auth(0x18, 'steps', 'two'))
    expect(await client.next('auth')).toMatchObject({ reasonCode: 0x00 })
    const codes = client.received.map((answer) => (answer.cmd === 'auth' ? answer.reasonCode : answer.cmd))
    expect(codes).toEqual([0x18, 0x18, 'connack', 0x18, 0x18, 0x00])
  })

  it('[MQTT-3.15.2-2] [MQTT-3.15.2-3] AUTH has no Reason String or User Properties that a small Maximum Packet Size forbids', async () => {
    const broker = await withMethod(twoQuestions)
    const client = await open(broker)
    const small = bytes(39, 0, 0, 0, 40)
    sendConnect(client, block(small, bytes(21, string('steps')), bytes(22, binary(Buffer.from('hello')))))
    const question = await client.next('auth')
    expect(question.properties).toMatchObject({ authenticationData: Buffer.from('first?') })
    expect(Math.max(...sizes(client).map(({ size }) => size))).toBeLessThanOrEqual(40)
  })

  it('[MQTT-3.1.2-24] an AUTH above Maximum Packet Size is not sent', async () => {
    const broker = await withMethod(() => ({ continue: Buffer.alloc(200) }))
    const client = await open(broker)
    sendConnect(client, block(bytes(39, 0, 0, 0, 50), bytes(21, string('steps'))))
    await client.closed()
    for (const { size } of sizes(client)) expect(size).toBeLessThanOrEqual(50)
  })
})

describe('section 4.12: enhanced authentication', () => {
  it('[MQTT-4.12.0-1] an Authentication Method that is not known is refused with 0x8C', async () => {
    for (const broker of [await startBroker(), await withMethod(twoQuestions)]) {
      for (const name of ['other', '', '__proto__', 'constructor']) {
        const client = await open(broker)
        sendConnect(client, method(name, 'hello'))
        expect([0x8c, 0x87]).toContain(await lastWord(client))
      }
    }
  })

  it('[MQTT-4.12.0-2] [MQTT-4.12.0-5] every AUTH and CONNACK names the method and brings its data', async () => {
    const client = await authenticated(await withMethod(twoQuestions))
    const said = client.received.map((answer) => ('properties' in answer ? answer.properties : undefined))
    expect(said).toMatchObject([
      { authenticationMethod: 'steps', authenticationData: Buffer.from('first?') },
      { authenticationMethod: 'steps', authenticationData: Buffer.from('second?') },
      { authenticationMethod: 'steps', authenticationData: Buffer.from('welcome') },
    ])
  })

  it('[MQTT-4.12.0-5] AUTH of a client with another method closes the connection', async () => {
    const broker = await withMethod(twoQuestions)
    const early = await open(broker)
    sendConnect(early, method('steps', 'hello'))
    await early.next('auth')
    early.sendBytes(auth(0x18, 'other', 'one'))
    await early.closed()
    expect(early.received.filter((answer) => answer.cmd === 'connack' && answer.reasonCode === 0)).toEqual([])
    const late = await authenticated(broker)
    late.sendBytes(auth(0x19, 'other', 'hello'))
    expect([0x82, 0x8c, 0x87]).toContain(await lastWord(late))
  })

  it('[MQTT-4.12.0-3] a client that answers with 0x19 instead of 0x18 is refused', async () => {
    const broker = await withMethod(twoQuestions)
    const client = await open(broker)
    sendConnect(client, method('steps', 'hello'))
    await client.next('auth')
    client.sendBytes(auth(0x19, 'steps', 'one'))
    expect([undefined, 0x82]).toContain(await lastWord(client))
  })

  it('[MQTT-4.12.0-4] a refusal at any step closes the connection, with CONNACK', async () => {
    const broker = await withMethod(twoQuestions)
    for (const [first, second] of [
      ['wrong', ''],
      ['hello', 'wrong'],
    ] as const) {
      const client = await open(broker)
      sendConnect(client, method('steps', first))
      if (first === 'hello') {
        await client.next('auth')
        client.sendBytes(auth(0x18, 'steps', second))
      }
      expect(await lastWord(client)).toBe(0x87)
      expect(broker.clients.size).toBe(0)
    }
  })

  it('[MQTT-4.12.0-4] a step that throws or rejects refuses', async () => {
    for (const broken of [
      () => {
        throw new Error('broken')
      },
      () => Promise.reject(new Error('broken')),
    ]) {
      const client = await open(await withMethod(broken))
      sendConnect(client, method('steps', 'hello'))
      expect(await lastWord(client)).toBeGreaterThanOrEqual(0x80)
    }
  })

  it('[MQTT-4.12.0-6] a client without a method gets no AUTH and no method', async () => {
    const broker = await withMethod(twoQuestions)
    const [connack] = (await connect(broker)).received
    expect(connack).toMatchObject({ cmd: 'connack', reasonCode: 0 })
    expect(connack?.cmd === 'connack' && connack.properties?.authenticationMethod).toBeUndefined()
  })

  it('[MQTT-4.12.0-7] AUTH of a client without a method closes the connection with 0x82', async () => {
    const broker = await withMethod(twoQuestions)
    for (const code of [0x18, 0x19]) {
      const client = await connect(broker)
      client.sendBytes(auth(code))
      expect(await lastWord(client)).toBe(0x82)
    }
  })

  it('[MQTT-3.1.2-30] another packet than AUTH or DISCONNECT before CONNACK closes the connection and does nothing', async () => {
    const broker = await withMethod(twoQuestions)
    const watcher = await connect(broker)
    await watcher.subscribe('#')
    for (const early of [
      packet(0x30, string('a'), block()),
      packet(0xc0),
      packet(0x82, u16(1), block(), string('a'), 0),
    ]) {
      const client = await open(broker)
      sendConnect(client, method('steps', 'hello'))
      await client.next('auth')
      client.sendBytes(early)
      await client.closed()
      expect(
        client.received.every(
          (answer) => answer.cmd === 'auth' || (answer.cmd === 'connack' && answer.reasonCode! >= 0x80),
        ),
      ).toBe(true)
    }
    expect(await watcher.quiet()).toEqual([])
  })

  it('[MQTT-4.12.1-1] a client may authenticate again, and its messages go on meanwhile', async () => {
    const broker = await withMethod(twoQuestions)
    const client = await authenticated(broker)
    await client.subscribe('a')
    client.sendBytes(auth(0x19, 'steps', 'hello'))
    await client.next('auth')
    await client.publish('a', 'meanwhile', { qos: 1 })
    expect(await client.nextMessage()).toMatchObject({ text: 'meanwhile' })
    client.sendBytes(auth(0x18, 'steps', 'one'))
    await client.next('auth')
    client.sendBytes(auth(0x18, 'steps', 'two'))
    expect(await client.next('auth')).toMatchObject({
      reasonCode: 0,
      properties: { authenticationMethod: 'steps', authenticationData: Buffer.from('welcome') },
    })
    expect(await client.quiet()).toEqual([])
  })

  it('[MQTT-4.12.1-2] a re-authentication that fails closes the connection with a DISCONNECT', async () => {
    const broker = await withMethod(twoQuestions)
    const client = await authenticated(broker)
    client.sendBytes(auth(0x19, 'steps', 'wrong'))
    expect(await lastWord(client)).toBe(0x87)
    expect(client.received.at(-1)?.cmd).toBe('disconnect')
  })
})
