import type { Clock } from '../ports/clock'
import { PacketType } from '../protocol/packet'

/** The name of a packet of MQTT, as `publish` or `puback`. */
export type PacketName = Lowercase<keyof typeof PacketType>

/** Which packets a fault is for. */
export interface PacketMatch {
  /** Default: both. */
  readonly direction?: 'toBroker' | 'toClient' | undefined
  /** Default: every packet. */
  readonly packet?: PacketName | undefined
  /** How many packets it is for; then it ends. Default: without end. */
  readonly times?: number | undefined
}

/** What becomes of one packet. */
export interface Passage {
  /** The packet, in the pieces that it travels in. Empty where it is lost. */
  pieces: Uint8Array[]
  delayMs: number
}

type Direction = 'toBroker' | 'toClient'

interface Fault {
  readonly match: PacketMatch
  left: number
  readonly apply: (passage: Passage) => void
}

/** What a `Link` tells the connections of its client. */
export interface LinkedConnection {
  /** A partition has ended. */
  healed(): void
  cut(): void
}

const typeNames: ReadonlyMap<number, string> = new Map(
  Object.entries(PacketType).map(([name, type]) => [type, name.toLowerCase()]),
)

/**
 * The network between one client and the broker: every connection that the client makes. A packet that meets several faults meets them in the
 * order in which they were set.
 */
export class Link {
  readonly clientId: string
  /** Whether nothing passes now. */
  isPartitioned = false
  private faults: Fault[] = []
  private readonly connections = new Set<LinkedConnection>()

  constructor(clientId: string) {
    this.clientId = clientId
  }

  /** Holds everything back, in both directions, the end of a connection too: neither side learns of it. */
  partition(): void {
    this.isPartitioned = true
  }

  /** Ends a partition: what was held back passes. */
  heal(): void {
    this.isPartitioned = false
    for (const connection of [...this.connections]) connection.healed()
  }

  /** Breaks the connections of the client, without a DISCONNECT. */
  cut(): void {
    for (const connection of [...this.connections]) connection.cut()
  }

  /** Loses packets. Returns a function that ends that. */
  drop(match: PacketMatch = {}): () => void {
    return this.add(match, (passage) => {
      passage.pieces = []
    })
  }

  /** Holds packets back for `ms` milliseconds of the broker's clock, and all that comes behind them. Returns a function that ends that. */
  delay(ms: number, match: PacketMatch = {}): () => void {
    if (!(ms >= 0)) throw new RangeError(`a delay is 0 or more milliseconds, not ${ms}`)
    return this.add(match, (passage) => {
      passage.delayMs += ms
    })
  }

  /** Splits packets into pieces of `length` bytes, each sent by itself. Returns a function that ends that. */
  split(length: number, match: PacketMatch = {}): () => void {
    if (!Number.isInteger(length) || length < 1) throw new RangeError(`a piece has 1 byte or more, not ${length}`)
    return this.add(match, (passage) => {
      passage.pieces = passage.pieces.flatMap((bytes) => piecesOf(bytes, length))
    })
  }

  /** Puts what `change` makes of a packet in its place. Returns a function that ends that. */
  corrupt(change: (packet: Buffer) => Uint8Array, match: PacketMatch = {}): () => void {
    return this.add(match, (passage) => {
      if (passage.pieces.length > 0) passage.pieces = [change(Buffer.concat(passage.pieces))]
    })
  }

  /** Ends all faults, a partition too. */
  restore(): void {
    this.faults = []
    if (this.isPartitioned) this.heal()
  }

  /** What becomes of a packet. */
  pass(packet: Buffer, direction: Direction): Passage {
    const passage: Passage = { pieces: [packet], delayMs: 0 }
    const name = typeNames.get(packet[0]! >> 4)
    for (const fault of [...this.faults]) {
      const { match } = fault
      if (match.direction !== undefined && match.direction !== direction) continue
      if (match.packet !== undefined && match.packet !== name) continue
      fault.apply(passage)
      if (--fault.left <= 0) this.remove(fault)
    }
    return passage
  }

  join(connection: LinkedConnection): void {
    this.connections.add(connection)
  }

  leave(connection: LinkedConnection): void {
    this.connections.delete(connection)
  }

  private add(match: PacketMatch, apply: (passage: Passage) => void): () => void {
    const fault = { match, left: match.times ?? Number.POSITIVE_INFINITY, apply }
    this.faults.push(fault)
    return () => this.remove(fault)
  }

  private remove(fault: Fault): void {
    this.faults = this.faults.filter((other) => other !== fault)
  }
}

function piecesOf(bytes: Uint8Array, length: number): Uint8Array[] {
  const pieces: Uint8Array[] = []
  for (let at = 0; at < bytes.length; at += length) pieces.push(bytes.subarray(at, at + length))
  return pieces
}

/** The links of all clients of a broker. */
export class Links {
  private readonly byClient = new Map<string, Link>()

  get(clientId: string): Link {
    let link = this.byClient.get(clientId)
    if (link === undefined) this.byClient.set(clientId, (link = new Link(clientId)))
    return link
  }
}

type Item = { readonly dueAt: number; readonly run: (done: () => void) => void }

/** One direction of a connection: what passes, in its order, each when it is due. */
export class Wire {
  private items: Item[] = []
  private isRunning = false
  private cancel: (() => void) | undefined

  /** `isHeld` tells whether nothing passes now. */
  constructor(
    private readonly clock: Clock,
    private readonly isHeld: () => boolean,
  ) {}

  /** `run` is called when everything before it has passed, and calls its argument when the next may. */
  add(delayMs: number, run: (done: () => void) => void): void {
    this.items.push({ dueAt: this.clock.now() + delayMs, run })
    this.go()
  }

  go(): void {
    this.cancel?.()
    this.cancel = undefined
    while (!this.isRunning && this.items.length > 0 && !this.isHeld()) {
      const { dueAt, run } = this.items[0]!
      const waitMs = dueAt - this.clock.now()
      if (waitMs > 0) {
        this.cancel = this.clock.after(waitMs, () => this.go())
        return
      }
      this.items.shift()
      this.isRunning = true
      let isAtOnce = true
      run(() => {
        this.isRunning = false
        if (!isAtOnce) this.go()
      })
      isAtOnce = false
    }
  }

  /** Forgets what has not passed. */
  clear(): void {
    this.cancel?.()
    this.items = []
  }
}
