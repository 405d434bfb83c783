import type { Delivery } from './delivery'
import { deliveryBytes } from './delivery-queue'

/** What a sent message waits for. */
export const InflightState = {
  Free: 0,
  /** QoS 1: sent. */
  Puback: 1,
  /** QoS 2: sent. */
  Pubrec: 2,
  /** QoS 2: PUBREC received, PUBREL sent. */
  Pubcomp: 3,
  /** QoS 2: identified, but not sent before its commit. */
  Commit: 4,
  /** QoS 2: PUBREC received, PUBREL not sent before its commit. */
  ReleaseCommit: 5,
} as const

const SMALLEST = 16
/** Bytes of a place. */
const PLACE = 11

/** What counts the deliveries that are kept: see QueueAccount. */
export interface InflightCount {
  /** Counts what came, or with negative numbers what went. */
  addInflight(messages: number, bytes: number): void
}

/**
 * Messages sent and not yet acknowledged, by Packet Identifier: a ring that is at most half full, so that the next
 * identifier is nearly always free. Keeps the delivery only for sessions that may have to send it again.
 */
export class Inflight {
  count = 0
  /** Bytes of the deliveries that are kept. */
  bytes = 0
  /** The identifier that was assigned last. */
  lastIdentifier = 0
  private mask = SMALLEST - 1
  private identifiers = new Uint16Array(SMALLEST)
  private states = new Uint8Array(SMALLEST)
  private deliveries: (Delivery | null)[] = new Array(SMALLEST).fill(null)

  private readonly counter: InflightCount | null

  constructor(counter: InflightCount | null = null) {
    this.counter = counter
  }

  /** Assigns the next free Packet Identifier [MQTT-2.2.1-3]. */
  add(state: number, delivery: Delivery | null): number {
    if (this.count * 2 > this.mask) this.grow()
    let identifier = this.lastIdentifier
    do identifier = identifier === 65535 ? 1 : identifier + 1
    while (this.states[identifier & this.mask] !== InflightState.Free)
    this.lastIdentifier = identifier
    this.set(identifier, state, delivery)
    return identifier
  }

  /** Puts back what a store had kept, under its own identifier. False if there is no such identifier, or it is taken. */
  restore(identifier: number, state: number, delivery: Delivery): boolean {
    if (!isIdentifier(identifier) || this.state(identifier) !== InflightState.Free) return false
    while (this.count * 2 > this.mask || this.states[identifier & this.mask] !== InflightState.Free) this.grow()
    this.set(identifier, state, delivery)
    if (identifier > this.lastIdentifier) this.lastIdentifier = identifier
    return true
  }

  /** What the identifier waits for; `Free` if it is not in flight. */
  state(identifier: number): number {
    const slot = identifier & this.mask
    return this.identifiers[slot] === identifier ? this.states[slot]! : InflightState.Free
  }

  delivery(identifier: number): Delivery | null {
    return this.deliveries[identifier & this.mask]!
  }

  advance(identifier: number, state: number): void {
    this.states[identifier & this.mask] = state
  }

  remove(identifier: number): void {
    const slot = identifier & this.mask
    const delivery = this.deliveries[slot]!
    this.states[slot] = InflightState.Free
    this.count--
    if (delivery === null) return
    this.deliveries[slot] = null
    this.recount(-1, -deliveryBytes(delivery))
  }

  /** The client may not have the message any more: its exchange goes on, but it is not sent again. */
  withdraw(identifier: number): void {
    const slot = identifier & this.mask
    const delivery = this.deliveries[slot]!
    if (delivery === null) return
    this.deliveries[slot] = null
    this.recount(-1, -deliveryBytes(delivery))
  }

  /** The identifiers of messages that are not kept. */
  withdrawn(): number[] {
    const identifiers: number[] = []
    for (let slot = 0; slot <= this.mask; slot++)
      if (this.states[slot] !== InflightState.Free && this.deliveries[slot] === null)
        identifiers.push(this.identifiers[slot]!)
    return identifiers
  }

  /** The identifier of the delivery at a position of its session, 0 if it is not in flight. */
  identifierAt(position: number): number {
    for (let slot = 0; slot <= this.mask; slot++)
      if (this.deliveries[slot]?.position === position) return this.identifiers[slot]!
    return 0
  }

  /** When the oldest of the deliveries that are kept came, in seconds; -1 if that is not known of one, Infinity if none is kept. */
  get oldestArrival(): number {
    let oldest = Number.POSITIVE_INFINITY
    for (const delivery of this.deliveries)
      if (delivery !== null && delivery.arrivedAt < oldest) oldest = delivery.arrivedAt
    return oldest
  }

  /** In the order in which they were first sent [MQTT-4.6.0-1]. */
  inOrder(): { identifier: number; state: number; delivery: Delivery }[] {
    const entries = []
    for (let slot = 0; slot <= this.mask; slot++) {
      const delivery = this.deliveries[slot]
      if (delivery) entries.push({ identifier: this.identifiers[slot]!, state: this.states[slot]!, delivery })
    }
    return entries.sort((a, b) => a.delivery.position - b.delivery.position)
  }

  private set(identifier: number, state: number, delivery: Delivery | null): void {
    const slot = identifier & this.mask
    this.identifiers[slot] = identifier
    this.states[slot] = state
    this.count++
    if (delivery === null) return
    this.deliveries[slot] = delivery
    this.recount(1, deliveryBytes(delivery))
  }

  private recount(messages: number, bytes: number): void {
    this.bytes += bytes
    this.counter?.addInflight(messages, bytes)
  }

  private grow(): void {
    const { identifiers, states, deliveries } = this
    const size = (this.mask + 1) * 2
    this.mask = size - 1
    this.counter?.addInflight(0, (size * PLACE) / 2)
    this.identifiers = new Uint16Array(size)
    this.states = new Uint8Array(size)
    this.deliveries = new Array(size).fill(null)
    for (let old = 0; old < states.length; old++) {
      if (states[old] === InflightState.Free) continue
      const slot = identifiers[old]! & this.mask
      this.identifiers[slot] = identifiers[old]!
      this.states[slot] = states[old]!
      this.deliveries[slot] = deliveries[old]!
    }
  }
}

/** Whether a number can be a Packet Identifier [MQTT-2.2.1-3]. */
export function isIdentifier(value: number): boolean {
  return Number.isInteger(value) && value >= 1 && value <= 65_535
}
