import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { BufferPool } from '../../../src/broker/wire/buffer-pool'
import { Intake } from '../../../src/broker/wire/intake'
import { bytes, packet, string } from '../../protocol/packet-bytes'
import { RecordingWalker } from '../../support/recording-walker'

/** Overwrites what it takes back, as the next user of a buffer will. */
class ScribblingPool extends BufferPool {
  override give(buffer: Buffer): void {
    buffer.fill(0xee)
    super.give(buffer)
  }
}

const packets = [
  packet(0xc0),
  packet(0x30, string('a'), Buffer.alloc(200, 'x')),
  packet(0x40, 0, 1),
  packet(0x32, string('b/c'), 0, 2, 1, 2, 3),
  packet(0xe0),
]
const whole = bytes(...packets)
const hex = packets.map((one) => one.toString('hex'))

/** A chunk as a socket gives it: the buffer is overwritten as soon as the call returns. */
function receive(intake: Intake, walker: RecordingWalker, chunk: Uint8Array): void {
  const lent = Buffer.concat([chunk, Buffer.alloc(3, 0xff)])
  intake.receive(walker, lent, chunk.length)
  lent.fill(0xee)
}

function newIntake(): Intake {
  return new Intake(new ScribblingPool())
}

function cutAt(positions: readonly number[], of: Buffer = whole): Buffer[] {
  const sorted = [0, ...[...positions].sort((a, b) => a - b), of.length]
  return sorted.slice(1).map((end, n) => of.subarray(sorted[n], end))
}

describe('Intake', () => {
  it('walks whole chunks where they lie', () => {
    const walker = new RecordingWalker()
    receive(newIntake(), walker, whole)
    expect(walker.packets).toEqual(hex)
    expect(walker.walks).toBe(1)
  })

  it('gives the same packets when chunks are split at any byte', () => {
    for (let cut = 1; cut < whole.length; cut++) {
      const walker = new RecordingWalker()
      const intake = newIntake()
      for (const chunk of cutAt([cut])) receive(intake, walker, chunk)
      expect(walker.packets, `split at byte ${cut}`).toEqual(hex)
    }
  })

  it('gives the same packets byte by byte', () => {
    const walker = new RecordingWalker()
    const intake = newIntake()
    for (const byte of whole) receive(intake, walker, Buffer.from([byte]))
    expect(walker.packets).toEqual(hex)
  })

  it('gives the same packets however chunks are split, parked and held', () => {
    const steps = fc.array(fc.record({ cut: fc.nat(whole.length), park: fc.boolean(), hold: fc.boolean() }), {
      maxLength: 8,
    })
    fc.assert(
      fc.property(steps, fc.nat(4), (list, parkAt) => {
        const walker = new RecordingWalker((walking) => {
          if (walking.packets.length === parkAt) walking.parked = true
        })
        const intake = newIntake()
        const chunks = cutAt(list.map(({ cut }) => cut))
        for (const [n, chunk] of chunks.entries()) {
          const step = list[n]
          if (step?.park === true) walker.parked = true
          if (step?.hold === true) {
            intake.hold(walker, Buffer.from(chunk), chunk.length)
            walker.parked = false
            intake.resume(walker)
            continue
          }
          receive(intake, walker, chunk)
          walker.parked = false
          intake.resume(walker)
        }
        // a last look, for what was parked in the very last step
        walker.parked = false
        intake.resume(walker)
        expect(walker.packets).toEqual(hex)
      }),
      { numRuns: 1000 },
    )
  })

  it('waits while the client is parked in the middle of a chunk, and goes on where it stood', () => {
    const walker = new RecordingWalker((walking) => {
      if (walking.packets.length === 2) walking.parked = true
    })
    const intake = newIntake()
    receive(intake, walker, whole.subarray(0, whole.length - 4))
    receive(intake, walker, whole.subarray(whole.length - 4))
    expect(walker.packets).toEqual(hex.slice(0, 2))
    walker.parked = false
    intake.resume(walker)
    expect(walker.packets).toEqual(hex)
  })

  it('completes only the split packet and walks the rest of the chunk where it lies', () => {
    const walker = new RecordingWalker()
    const intake = newIntake()
    const large = packet(0x30, string('a'), Buffer.alloc(70_000, 'y'))
    const stream = bytes(large, ...packets)
    receive(intake, walker, stream.subarray(0, 10))
    receive(intake, walker, stream.subarray(10))
    expect(walker.packets).toEqual([large.toString('hex'), ...hex])
    // above the pooled sizes nobody overwrites the bytes; in the chunk somebody does
    expect(walker.stable).toEqual([true, ...packets.map(() => false)])
  })

  it('refuses a packet that is too large when its length arrives, and keeps nothing more', () => {
    const walker = new RecordingWalker(undefined, 1000)
    const intake = newIntake()
    const header = Buffer.from([0x30, 0xff, 0xff, 0xff, 0x7f])
    for (const byte of header) receive(intake, walker, Buffer.from([byte]))
    expect(walker.closing).toBe(true)
    expect(walker.packets).toEqual([])
  })

  it('does not make room for what a header only promises', () => {
    const pool = new BufferPool()
    const sizes: number[] = []
    const take = pool.take.bind(pool)
    pool.take = (n) => {
      sizes.push(n)
      return take(n)
    }
    const intake = new Intake(pool)
    const walker = new RecordingWalker()
    intake.receive(walker, Buffer.from([0x30, 0xff, 0xff, 0xff, 0x7f, 1, 2, 3]), 8)
    intake.receive(walker, Buffer.from([4, 5, 6]), 3)
    expect(Math.max(...sizes)).toBeLessThanOrEqual(BufferPool.small)
  })

  it('forgets everything when it is cleared', () => {
    const walker = new RecordingWalker()
    const intake = newIntake()
    receive(intake, walker, whole.subarray(0, 5))
    intake.clear()
    receive(intake, walker, whole)
    expect(walker.packets).toEqual([hex[0], ...hex])
  })

  it('keeps nothing of a chunk whose packet ended the connection', () => {
    const walker = new RecordingWalker((walking) => {
      walking.closing = true
    })
    const intake = newIntake()
    receive(intake, walker, whole)
    walker.closing = false
    intake.resume(walker)
    expect(walker.packets).toEqual(hex.slice(0, 1))
  })

  it('keeps the rest of a chunk that lasts where it lies, however often its walk is interrupted', () => {
    const pool = new BufferPool()
    const many = Buffer.concat(Array.from({ length: 60_000 }, () => packet(0xc0)))
    const walker = new RecordingWalker((walking) => {
      walking.parked = walking.packets.length % 1000 === 0
    })
    let taken = 0
    const take = pool.take.bind(pool)
    pool.take = (size) => {
      taken += size
      return take(size)
    }
    const intake = new Intake(pool)
    intake.receive(walker, many, many.length, true)
    while (walker.parked) {
      walker.parked = false
      intake.resume(walker)
    }
    expect(walker.packets).toHaveLength(60_000)
    expect([taken < many.length, pool.incomingBytes, intake.length]).toEqual([true, 0, 0])
  })

  it('keeps the order of bytes that arrive while what came before is walked', () => {
    const pool = new ScribblingPool()
    const intake = new Intake(pool)
    const later = packet(0x30, string('later'))
    const walker = new RecordingWalker((walking) => {
      if (walking.packets.length !== 1) return
      intake.hold(walking, Buffer.from(later), later.length)
      walking.parked = true
    })
    receive(intake, walker, whole)
    walker.parked = false
    intake.resume(walker)
    expect(walker.packets).toEqual([...hex, later.toString('hex')])
  })
})
