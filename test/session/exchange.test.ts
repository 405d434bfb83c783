import fc from 'fast-check'
import type { Packet } from 'mqtt-packet'
import { describe, expect, it } from 'vitest'
import { AckByte, writeAck } from '../../src/protocol/acknowledgement'
import { receivePuback, receivePubcomp, receivePubrec, releaseCommitted } from '../../src/session/acknowledger'
import { InflightAction } from '../../src/session/inflight-transitions'
import { resend } from '../../src/session/resender'
import { deliver, Outcome, sendCommitted, sendQueued } from '../../src/session/sender'
import { RecordingOutput } from '../support/recording-output'
import { delivery, durableSession } from './session-under-test'

/** A client that receives as section 4.3 says, and whose connection breaks when the test says so. */
class Client {
  readonly atLeastOnce: string[] = []
  readonly exactlyOnce: string[] = []
  private readonly held = new Set<number>()
  /** Acknowledgements that the network has not delivered yet. */
  inTransit: Packet[] = []
  /** Identifiers of PUBLISH packets that are not answered to the end, in this connection. */
  readonly open = new Set<number>()

  receive(packet: Packet): void {
    const messageId = packet.messageId!
    if (packet.cmd === 'pubrel') {
      this.held.delete(messageId)
      this.inTransit.push({ cmd: 'pubcomp', messageId })
    } else if (packet.cmd === 'publish') {
      if (!packet.dup && this.open.has(messageId)) throw new Error(`identifier ${messageId} is in use`)
      this.open.add(messageId)
      if (packet.qos === 1) {
        this.atLeastOnce.push(packet.topic)
        this.inTransit.push({ cmd: 'puback', messageId })
      } else {
        if (!this.held.has(messageId)) this.exactlyOnce.push(packet.topic)
        this.held.add(messageId)
        this.inTransit.push({ cmd: 'pubrec', messageId })
      }
    } else throw new Error(`a ${packet.cmd} that nobody expected`)
  }
}

/** A session, a store that takes its time, a network that breaks, and a client. */
class Exchange {
  readonly client = new Client()
  readonly parts: ReturnType<typeof durableSession>
  private output: RecordingOutput
  private readonly commits: (() => void)[] = []
  private readonly window: number

  constructor(window: number) {
    this.window = window
    this.parts = durableSession({ window })
    this.output = this.parts.output
  }

  publish(qos: 1 | 2, topic: string): void {
    const { session } = this.parts
    if (deliver(session, delivery(qos, topic), 0) === Outcome.AwaitsCommit)
      this.sendAfterCommit(session.inflight!.lastIdentifier)
    this.look()
  }

  private sendAfterCommit(identifier: number): void {
    this.commits.push(() => sendCommitted(this.parts.session, identifier, 0))
  }

  /** The store answers to the oldest commit that is open. */
  commit(): void {
    this.commits.shift()?.()
    this.look()
  }

  /** The network delivers one acknowledgement. */
  acknowledge(): void {
    const { session } = this.parts
    const packet = session.output === null ? undefined : this.client.inTransit.shift()
    if (packet === undefined) return
    const messageId = packet.messageId!
    if (packet.cmd === 'puback') receivePuback(session, messageId)
    else if (packet.cmd === 'pubcomp') receivePubcomp(session, messageId)
    else {
      const outcome = receivePubrec(session, messageId, 0)
      if (outcome === InflightAction.SendPubrel) writeAck(this.output, AckByte.Pubrel, messageId, 0)
      else if (outcome === InflightAction.AwaitsCommit)
        this.commits.push(() => {
          if (releaseCommitted(session, messageId) && session.output !== null)
            writeAck(this.output, AckByte.Pubrel, messageId, 0)
        })
    }
    if (packet.cmd !== 'pubrec') this.client.open.delete(messageId)
    this.sendQueued()
    this.look()
  }

  private sendQueued(): void {
    sendQueued(this.parts.session, 0, (_, identifier) => this.sendAfterCommit(identifier))
  }

  /** What was written reaches the client, or is lost with the connection. */
  look(): void {
    if (this.parts.session.output === null) return
    for (const packet of this.output.packets()) this.client.receive(packet)
    if (this.client.open.size > this.window) throw new Error('more in flight than Receive Maximum')
  }

  break(): void {
    this.client.inTransit = []
    this.parts.session.detach()
  }

  connect(): void {
    const { session } = this.parts
    if (session.output !== null) this.break()
    this.output = new RecordingOutput(4)
    this.client.open.clear()
    session.attach(this.output, this.window)
    resend(session, 0)
    this.sendQueued()
    this.look()
  }

  /** Until nothing more happens. */
  finish(): void {
    this.connect()
    for (let quiet = 0; quiet < 4; ) {
      const before = this.commits.length + this.client.inTransit.length
      this.commit()
      this.acknowledge()
      quiet = before === 0 ? quiet + 1 : 0
    }
  }
}

/** Each topic once, where it came first. */
const firsts = (topics: readonly string[]): string[] => [...new Set(topics)]

describe('a session and its client', () => {
  it('lose nothing, double no QoS 2 and keep the order, whatever breaks in between', () => {
    const step = fc.constantFrom(
      'publish 1',
      'publish 2',
      'publish 1',
      'publish 2',
      'acknowledge',
      'acknowledge',
      'acknowledge',
      'commit',
      'commit',
      'break',
      'connect',
      'connect',
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), fc.integer({ min: 1, max: 5 }), (steps, window) => {
        const exchange = new Exchange(window)
        const published: { 1: string[]; 2: string[] } = { 1: [], 2: [] }
        for (const [n, act] of steps.entries()) {
          if (act === 'publish 1' || act === 'publish 2') {
            const qos = act === 'publish 1' ? 1 : 2
            published[qos].push(`${n}`)
            exchange.publish(qos, `${n}`)
          } else exchange[act]()
        }
        exchange.finish()
        const { session, journal } = exchange.parts
        expect(firsts(exchange.client.atLeastOnce)).toEqual(published[1])
        expect(exchange.client.exactlyOnce).toEqual(published[2])
        expect([session.inflightCount, session.queuedMessages, journal.kept.size]).toEqual([0, 0, 0])
      }),
      { numRuns: 1000 },
    )
  })
})
