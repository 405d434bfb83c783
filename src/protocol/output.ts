import type { DropReason } from './drop-reason'
import type { ProtocolVersion } from './packet'
import type { PublishEnvelopes } from './publish-envelope'
import type { PublishSource } from './publish-source'

/**
 * The form of PUBLISH packets for an output: MQTT 3.x, MQTT 5.0, MQTT 5.0 with topic aliases of its own. `Guarded`: each is looked at before it is
 * written, whatever its form. From `V5Aliased` on none is written as it comes.
 */
export const Dialect = { V3: 0, V5: 1, V5Aliased: 2, Guarded: 3 } as const

/** Bytes of the largest packet that a fixed header can tell the length of (section 2.1.4). */
export const LARGEST_PACKET = 268_435_460

/** A packet above this asks for room before it is written: see `admits`. */
export const LARGE_PACKET = 65_536

const nowhere = new Uint8Array(0)

/**
 * Where packets for one client are written. The pure rooms write into `bytes`; emptying it is the business of
 * the class that extends this one.
 */
export abstract class Output {
  bytes: Uint8Array = nowhere
  length = 0
  version: ProtocolVersion = 4
  dialect: number = Dialect.V3
  /** The client's Maximum Packet Size (MQTT 5.0 section 3.1.2.11.4): larger packets are never sent. */
  maximumPacketSize = LARGEST_PACKET
  /** True while the client reads too slowly: QoS 0 is dropped, QoS 1 and 2 wait in the session. */
  congested = false

  /** A run of neighbouring packets of one chunk, not yet copied. `runEnd` is -1 when there is none. */
  runStart = 0
  runEnd = -1
  runMessages = 0

  protected dirty = false
  /** What packets for this client are written with. All outputs of one broker may share it. */
  readonly envelopes: PublishEnvelopes
  /** PUBLISH packets that were written, by QoS. All outputs of one broker may share it. */
  readonly sent: number[]

  constructor(envelopes: PublishEnvelopes, sent: number[]) {
    this.envelopes = envelopes
    this.sent = sent
  }

  /** Sets `n` bytes aside and returns the offset in `bytes` where they begin. */
  take(n: number): number {
    if (this.runEnd !== -1) this.settleRun()
    if (this.length + n > this.bytes.length) this.grow(n)
    if (!this.dirty) this.mark()
    const at = this.length
    this.length = at + n
    return at
  }

  /** Writes a packet that is already encoded. */
  write(packet: Uint8Array): void {
    const at = this.take(packet.length)
    this.bytes.set(packet, at)
  }

  /** Adds bytes that will not change: they are sent without a copy. */
  abstract attach(bytes: Uint8Array): void

  /** Counts messages that were not sent. `lost` is what is known of them. */
  abstract drop(messages: number, reason: DropReason, lost: PublishSource | null): void

  /** Whether there is room for a packet of more than `LARGE_PACKET` bytes. Where there is not, the client is congested until there may be. */
  abstract admits(bytes: number): boolean

  /** Opens or prolongs a run: `[start, end)` of the chunk that is being read is one more message for this client. */
  abstract run(start: number, end: number): void

  /** Copies the open run. */
  abstract settleRun(): void

  /** Makes room for `n` bytes at `length`. */
  protected abstract grow(n: number): void

  /** Asks for the bytes to be sent at the end of the turn. */
  protected abstract mark(): void
}

/** A byte loop beats `set(subarray)` up to about this many bytes. */
const LOOP_BYTES = 48

/** Copies `source[start, end)` to `target[at…)`. */
export function copyBytes(target: Uint8Array, at: number, source: Uint8Array, start: number, end: number): void {
  if (end - start <= LOOP_BYTES) for (let i = start; i < end; i++) target[at++] = source[i]!
  else target.set(source.subarray(start, end), at)
}
