import { generate, type Packet } from 'mqtt-packet'
import { describe, expect, it } from 'vitest'
import { Connection } from '../../../src/broker/wire/connection'
import type { ConnectionContext } from '../../../src/broker/wire/connection-context'
import { DeadlineWheel } from '../../../src/broker/wire/deadline-wheel'
import type { PacketHandler } from '../../../src/broker/wire/packet-handler'
import { LOOK } from '../../../src/broker/wire/slice'
import { Turn } from '../../../src/broker/wire/turn'
import { silentLogger } from '../../../src/ports/logger'
import type { Frame } from '../../../src/protocol/frame'
import { PacketType } from '../../../src/protocol/packet'
import { QueueBudget } from '../../../src/session/queue-budget'
import { Session } from '../../../src/session/session'
import { SimulatedClock } from '../../../src/testing/simulated-clock'
import { nextTurn, SlowStream } from '../../support/slow-stream'

/** Accepts CONNECT at once, and notes what comes of a connection. */
class RecordingHandler implements PacketHandler<Connection> {
  identityChanged(): Promise<void> {
    return Promise.resolve()
  }

  readonly calls: string[]
  /** Called for each packet behind CONNECT. */
  onPacket: () => void = () => undefined

  constructor(calls: string[]) {
    this.calls = calls
  }

  connect(connection: Connection): void {
    const limits = { maximumInflight: 1, maximumInflightBytes: 1e6, maximumQueuedMessages: 1, maximumQueuedBytes: 1 }
    const session = new Session('lamp', {
      ...limits,
      overflow: 'drop-newest',
      budget: new QueueBudget<Session>(),
      queueQoS0: false,
    })
    session.attach(connection.outbox, 1)
    connection.speak(5)
    connection.begin(session, 0, false)
  }

  control(_connection: Connection, _bytes: Buffer, { first }: Frame): void {
    const type = first >> 4
    this.calls.push(type === PacketType.Pingreq ? 'ping' : `packet ${type}`)
    this.onPacket()
  }

  report(_connection: Connection, error: Error): void {
    this.calls.push(`fail: ${error.message}`)
  }

  ended(): void {
    this.calls.push('ended')
  }

  beginChunk(): void {}
  publish(): void {}
  acknowledgement(): void {}
  closed(): void {}
  drained(): void {}
}

const bytesOf = (...packets: Packet[]): Buffer =>
  Buffer.concat(packets.map((packet) => generate(packet, { protocolVersion: 5 })))

/** A connection whose CONNECT was accepted. `calls` has what comes of it from then on. */
function start() {
  const calls: string[] = []
  const clock = new SimulatedClock()
  const handler = new RecordingHandler(calls)
  const context: ConnectionContext<Connection> = {
    clock,
    logger: silentLogger,
    turn: new Turn(Number.POSITIVE_INFINITY, undefined, clock),
    wheel: new DeadlineWheel(100, clock.now()),
    outbox: { maximumOutgoingBytes: 1e6, maximumTotalOutgoingBytes: 1e6 },
    connectTimeoutMs: 1000,
    maximumConnectPacketSize: 1000,
    maximumPacketSize: 1000,
    packets: handler,
  }
  let onBytes = (_bytes: Buffer, _length: number): void => undefined
  const connection = new Connection(context, {
    stream: new SlowStream(true),
    peer: { remoteAddress: undefined, remotePort: undefined },
    acceptedAt: clock.now(),
    releasesWrites: true,
    read: (listener) => {
      onBytes = listener
    },
    pause: () => calls.push('pause'),
    resume: () => calls.push('resume'),
  })
  const feed = (bytes: Buffer): void => onBytes(bytes, bytes.length)
  const pings = (count: number): void => feed(bytesOf(...new Array<Packet>(count).fill({ cmd: 'pingreq' })))
  feed(bytesOf({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 5, clientId: 'lamp', clean: true, keepalive: 0 }))
  return { calls, clock, connection, handler, feed, pings }
}

describe('a connection that sends more than fits into one slice', () => {
  /** Each packet takes half a millisecond; the clock is looked at after so many packets. */
  const perSlice = LOOK

  it('lets others have their turn, and goes on where it was, in order', async () => {
    const { calls, clock, handler, connection, pings } = start()
    handler.onPacket = () => clock.advance(0.5)
    pings(3 * perSlice)
    expect([connection.waits, calls]).toEqual([true, [...new Array(perSlice).fill('ping'), 'pause']])
    await expect.poll(() => connection.waits).toBe(false)
    expect(calls.filter((call) => call === 'ping')).toHaveLength(3 * perSlice)
    expect(calls.at(-1)).toBe('resume')
  })

  it('is not read on while the rest waits, and what arrives all the same comes behind it', async () => {
    const { calls, clock, connection, feed, handler, pings } = start()
    handler.onPacket = () => clock.advance(0.5)
    pings(2 * perSlice)
    feed(bytesOf({ cmd: 'disconnect' }))
    expect(calls.at(-1)).toBe('pause')
    await expect.poll(() => connection.waits).toBe(false)
    expect(calls.filter((call) => call === 'ping')).toHaveLength(2 * perSlice)
    expect(calls.at(-2)).toBe('packet 14')
  })

  it('waits for an answer that comes before its turn', async () => {
    const { calls, clock, connection, handler, pings } = start()
    let packets = 0
    const answer = newAnswer<void>()
    handler.onPacket = () => {
      clock.advance(0.5)
      if (++packets === perSlice) connection.parkUntil(answer.promise, () => calls.push('answered'))
    }
    pings(perSlice + 1)
    answer.resolve()
    await expect.poll(() => connection.waits).toBe(false)
    expect(calls.slice(perSlice - 1).filter((call) => !/pause|resume/.test(call))).toEqual(['ping', 'answered', 'ping'])
  })

  it('waits for its turn from the beginning the next time', async () => {
    const { calls, clock, connection, handler, pings } = start()
    handler.onPacket = () => clock.advance(0.5)
    pings(perSlice + 1)
    await expect.poll(() => connection.waits).toBe(false)
    calls.length = 0
    pings(1)
    expect(calls).toEqual([])
    await expect.poll(() => calls[0]).toBe('ping')
    pings(1)
    expect(calls.filter((call) => call === 'ping')).toHaveLength(2)
  })

  it('is dropped with what it has sent when it ends meanwhile', async () => {
    const { calls, clock, connection, handler, pings } = start()
    handler.onPacket = () => clock.advance(0.5)
    pings(2 * perSlice)
    connection.disconnect(0)
    await nextTurn()
    await nextTurn()
    expect(calls.filter((call) => call === 'ping')).toHaveLength(perSlice)
  })
})

/** An answer that the test gives. */
function newAnswer<T>() {
  let resolve = (_value: T): void => undefined
  let reject = (_error: unknown): void => undefined
  const promise = new Promise<T>((yes, no) => {
    resolve = yes
    reject = no
  })
  return { promise, resolve, reject }
}

const throws = (): never => {
  throw new Error('the database is away')
}

const failed = 'fail: the connection failed: the database is away'

describe('a connection that waits for an answer', () => {
  it('is parked until it comes, takes it first, and then the packets that came meanwhile', async () => {
    const { calls, connection, pings } = start()
    const answer = newAnswer<number>()
    connection.parkUntil(answer.promise, (value) => calls.push(`answer ${value}`))
    expect([connection.waits, calls]).toEqual([true, ['pause']])
    pings(2)
    await nextTurn()
    expect([connection.waits, calls]).toEqual([true, ['pause']])
    answer.resolve(7)
    await nextTurn()
    expect([connection.waits, calls]).toEqual([false, ['pause', 'answer 7', 'ping', 'ping', 'resume']])
  })

  it('keeps the packets of the same chunk waiting that lie behind the one which asks', async () => {
    const { calls, connection, handler, pings } = start()
    const answer = newAnswer<number>()
    handler.onPacket = () => {
      handler.onPacket = () => undefined
      connection.parkUntil(answer.promise, (value) => calls.push(`answer ${value}`))
    }
    pings(3)
    await nextTurn()
    expect(calls).toEqual(['ping', 'pause'])
    answer.resolve(7)
    await nextTurn()
    expect(calls).toEqual(['ping', 'pause', 'answer 7', 'ping', 'ping', 'resume'])
  })

  it('does not take it once the connection is closing', async () => {
    const { calls, connection, pings } = start()
    const answer = newAnswer<number>()
    connection.parkUntil(answer.promise, (value) => calls.push(`answer ${value}`))
    pings(1)
    connection.disconnect(0x8b)
    const before = [...calls]
    expect(before).toContain('ended')
    answer.resolve(7)
    await nextTurn()
    expect(calls).toEqual(before)
  })

  it('is ended, and not the process, by what follows the answer and throws', async () => {
    const { calls, connection, pings } = start()
    connection.parkUntil(Promise.resolve(true), throws)
    pings(1)
    await nextTurn()
    expect(calls).toEqual(['pause', failed, 'ended', 'resume'])
    expect([connection.closing, connection.waits]).toEqual([true, false])
  })

  it('is ended by a rejection', async () => {
    const { calls, connection, pings } = start()
    const answer = newAnswer<number>()
    connection.parkUntil(answer.promise, (value) => calls.push(`answer ${value}`))
    pings(1)
    answer.reject(new Error('the database is away'))
    await nextTurn()
    expect(calls).toEqual(['pause', failed, 'ended', 'resume'])
    expect([connection.closing, connection.waits]).toEqual([true, false])
  })

  it('is not troubled by a rejection that comes once it is closing', async () => {
    const { calls, connection } = start()
    const answer = newAnswer<number>()
    connection.parkUntil(answer.promise, throws)
    connection.disconnect(0x8b)
    const before = [...calls]
    answer.reject(new Error('the database is away'))
    await nextTurn()
    expect(calls).toEqual(before)
  })

  it('waits for all of them where there are several, and pauses and resumes its channel once', async () => {
    const { calls, connection, pings } = start()
    const [first, second] = [newAnswer<number>(), newAnswer<number>()]
    for (const { promise } of [first, second]) connection.parkUntil(promise, (value) => calls.push(`answer ${value}`))
    pings(1)
    second.resolve(2)
    await nextTurn()
    expect([connection.waits, calls]).toEqual([true, ['pause', 'answer 2']])
    first.resolve(1)
    await nextTurn()
    expect([connection.waits, calls]).toEqual([false, ['pause', 'answer 2', 'answer 1', 'ping', 'resume']])
  })

  it('stays parked where what follows the answer asks anew', async () => {
    const { calls, connection, pings } = start()
    const again = newAnswer<number>()
    connection.parkUntil(Promise.resolve(1), () => {
      connection.parkUntil(again.promise, (value) => calls.push(`answer ${value}`))
    })
    pings(1)
    await nextTurn()
    expect([connection.waits, calls]).toEqual([true, ['pause']])
    again.resolve(2)
    await nextTurn()
    expect(calls).toEqual(['pause', 'answer 2', 'ping', 'resume'])
  })

  it('counts as heard of when it is read from again', async () => {
    const { clock, connection } = start()
    const answer = newAnswer<number>()
    connection.parkUntil(answer.promise, () => undefined)
    clock.advance(500)
    expect(connection.lastSeen).toBe(0)
    answer.resolve(7)
    await nextTurn()
    expect(connection.lastSeen).toBe(500)
  })
})

describe('a connection that is parked already', () => {
  it('goes on after the answer, without being parked once more', async () => {
    const { calls, connection, pings } = start()
    connection.park()
    pings(1)
    connection.unparkAfter(Promise.resolve(7), (value) => calls.push(`answer ${value}`))
    expect(calls).toEqual(['pause'])
    await nextTurn()
    expect([connection.waits, calls]).toEqual([false, ['pause', 'answer 7', 'ping', 'resume']])
  })

  it('goes on where nothing follows the answer', async () => {
    const { calls, connection, pings } = start()
    connection.park()
    pings(1)
    connection.unparkAfter(Promise.resolve())
    await nextTurn()
    expect([connection.waits, calls]).toEqual([false, ['pause', 'ping', 'resume']])
  })

  it('is ended by a rejection', async () => {
    const { calls, connection } = start()
    connection.park()
    connection.unparkAfter(Promise.reject(new Error('the database is away')))
    await nextTurn()
    expect(calls).toEqual(['pause', failed, 'ended', 'resume'])
  })
})

describe('a connection that is parked until more comes', () => {
  /** Parks it as CONNECT does. */
  const parked = () => {
    const started = start()
    const answer = newAnswer<number>()
    started.connection.parkUntilMore()
    started.connection.unparkAfter(answer.promise, (value) => started.calls.push(`answer ${value}`))
    return { ...started, answer }
  }

  it('is not paused where nothing comes', async () => {
    const { answer, calls, connection } = parked()
    expect([connection.waits, calls]).toEqual([true, []])
    answer.resolve(7)
    await nextTurn()
    expect([connection.waits, calls]).toEqual([false, ['answer 7', 'resume']])
  })

  it('holds what comes and is paused by it, so that it holds no more than one chunk', async () => {
    const { answer, calls, pings } = parked()
    pings(2)
    expect(calls).toEqual(['pause'])
    // on its way already
    pings(1)
    expect(calls).toEqual(['pause'])
    answer.resolve(7)
    await nextTurn()
    expect(calls).toEqual(['pause', 'answer 7', 'ping', 'ping', 'ping', 'resume'])
  })

  it('is paused by what lies behind in the same chunk', async () => {
    const { calls, connection, handler, pings } = start()
    handler.onPacket = () => {
      handler.onPacket = () => undefined
      connection.parkUntilMore()
      connection.unparkAfter(Promise.resolve())
    }
    pings(2)
    expect(calls).toEqual(['ping', 'pause'])
    await nextTurn()
    expect(calls).toEqual(['ping', 'pause', 'ping', 'resume'])
  })
})
