import { describe, expect, it } from 'vitest'
import { AuthenticationTurns, type Turn } from '../../../src/broker/packets/authentication-turns'
import type { Connection } from '../../../src/broker/wire/connection'
import type { Client } from '../../../src/ports/client'
import { MqttError } from '../../../src/protocol/mqtt-error'
import { SimulatedClock } from '../../../src/testing/simulated-clock'
import { nextTurn } from '../../support/slow-stream'

function start(maximumPendingAuthentications = 4, maximumFailedConnectsPerAddress = 600) {
  const clock = new SimulatedClock()
  const turns = new AuthenticationTurns({ clock, maximumFailedConnectsPerAddress, maximumPendingAuthentications })
  /** What has come of each: its turn, or the code of the error. */
  const came: [string, Turn | string][] = []
  /** Answers what makes the client go. */
  const begin = (name: string, remoteAddress: string | undefined, username = name): (() => void) => {
    let go = (): void => undefined
    const connection = { whenClosed: (listener: () => void) => (go = listener) } as unknown as Connection
    const client = { clientId: name, remoteAddress, username } as Client
    const note = (turn: Turn | MqttError): void => {
      came.push([name, turn instanceof MqttError ? turn.code : turn])
    }
    const turn = turns.begin(connection, client)
    if (turn instanceof Promise) turn.then(note)
    else note(turn)
    return () => go()
  }
  const names = (): string[] => came.map(([name, turn]) => (typeof turn === 'string' ? `${name} ${turn}` : name))
  const end = async (name: string, outcome: 'right' | 'wrong' | 'undecided'): Promise<void> => {
    const turn = came.find(([one]) => one === name)![1] as Turn
    turn(outcome)
    await nextTurn()
  }
  return { clock, begin, end, names }
}

describe('authentications', () => {
  it('of one address take half of the places at the most, and the others wait in their order', async () => {
    const { begin, end, names } = start()
    for (const name of ['a1', 'a2', 'a3', 'a4']) begin(name, '192.0.2.1')
    expect(names()).toEqual(['a1', 'a2'])
    begin('b1', '192.0.2.2')
    expect(names()).toEqual(['a1', 'a2', 'b1'])
    await end('a2', 'undecided')
    expect(names()).toEqual(['a1', 'a2', 'b1', 'a3'])
  })

  it('of several addresses take turns', async () => {
    const { begin, end, names } = start(2)
    for (const name of ['a1', 'a2', 'a3']) begin(name, '192.0.2.1')
    for (const name of ['b1', 'b2']) begin(name, '192.0.2.2')
    begin('c1', '192.0.2.3')
    expect(names()).toEqual(['a1', 'b1'])
    for (const name of ['a1', 'b1', 'a2', 'b2', 'c1']) await end(name, 'right')
    expect(names()).toEqual(['a1', 'b1', 'a2', 'b2', 'c1', 'a3'])
  })

  it('are no more at a time than may fail: exactly the limit is asked about', async () => {
    const { begin, end, names } = start(100, 3)
    for (let n = 0; n < 10; n++) begin(`a${n}`, '192.0.2.1')
    expect(names()).toEqual(['a0', 'a1', 'a2'])
    await end('a0', 'wrong')
    await end('a1', 'wrong')
    expect(names()).toEqual(['a0', 'a1', 'a2'])
    await end('a2', 'wrong')
    const refused = Array.from({ length: 7 }, (_, n) => `a${n + 3} GNATMQ_CONNECTION_RATE`)
    expect(names()).toEqual(['a0', 'a1', 'a2', ...refused])
    begin('late', '192.0.2.1')
    expect(names().at(-1)).toBe('late GNATMQ_CONNECTION_RATE')
  })

  it('that turn out well make room for the next', async () => {
    const { begin, end, names } = start(100, 2)
    for (let n = 0; n < 5; n++) begin(`a${n}`, '192.0.2.1')
    for (let n = 0; n < 5; n++) await end(`a${n}`, n % 2 === 0 ? 'right' : 'undecided')
    expect(names()).toEqual(['a0', 'a1', 'a2', 'a3', 'a4'])
  })

  it('may be tried again in the next minute', async () => {
    const { begin, clock, end, names } = start(4, 1)
    begin('a1', '192.0.2.1')
    await end('a1', 'wrong')
    clock.advance(60_000)
    begin('a2', '192.0.2.1')
    expect(names()).toEqual(['a1', 'a2'])
  })

  it('of a client that is known go on while its address is barred', async () => {
    const { begin, end, names } = start(100, 2)
    begin('friend', '192.0.2.1', 'ada')
    await end('friend', 'right')
    for (const name of ['g1', 'g2', 'g3']) begin(name, '192.0.2.1')
    begin('friend', '192.0.2.1', 'ada')
    expect(names()).toEqual(['friend', 'g1', 'g2', 'friend'])
    await end('g1', 'wrong')
    await end('g2', 'wrong')
    begin('friend', '192.0.2.1', 'ada')
    expect(names().slice(4)).toEqual(['friend'])
  })

  it('of many that wait while their address is barred are refused little by little', async () => {
    const { begin, end, names } = start(100, 1)
    begin('first', '192.0.2.1')
    for (let n = 0; n < 1000; n++) begin(`a${n}`, '192.0.2.1')
    await end('first', 'wrong')
    expect(names().length).toBeLessThan(400)
    while (names().length < 1001) await nextTurn()
    expect(
      new Set(
        names()
          .slice(1)
          .map((text) => text.split(' ')[1]),
      ),
    ).toEqual(new Set(['GNATMQ_CONNECTION_RATE']))
  })

  it('of a client that has gone while it waited take no place', async () => {
    const { begin, end, names } = start(2)
    begin('a1', '192.0.2.1')
    const leave = begin('a2', '192.0.2.1')
    begin('a3', '192.0.2.1')
    leave()
    await nextTurn()
    await end('a1', 'right')
    expect(names()).toEqual(['a1', 'a2 GNATMQ_CONNECTION_LOST', 'a3'])
  })

  it('of clients without an address wait for each other and are never barred', async () => {
    const { begin, end, names } = start(2, 1)
    begin('a1', undefined)
    begin('a2', undefined)
    await end('a1', 'wrong')
    await end('a2', 'wrong')
    begin('a3', undefined)
    expect(names()).toEqual(['a1', 'a2', 'a3'])
  })
})
