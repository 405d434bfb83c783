import fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import { BufferPool } from '../../../src/broker/wire/buffer-pool'
import { Outbox, type OutboxLimits } from '../../../src/broker/wire/outbox'
import { Turn } from '../../../src/broker/wire/turn'
import { DropReason } from '../../../src/protocol/drop-reason'
import { nextTurn, SlowStream } from '../../support/slow-stream'

const roomy: OutboxLimits = { maximumOutgoingBytes: 1_000_000, maximumTotalOutgoingBytes: 10_000_000 }

/** A turn whose pool overwrites what it takes back, as the next user of a buffer will. */
function newTurn(): Turn & { given: number } {
  const turn = Object.assign(new Turn(), { given: 0 })
  const give = turn.pool.give.bind(turn.pool)
  turn.pool.give = (buffer) => {
    buffer.fill(0xee)
    turn.given++
    give(buffer)
  }
  return turn
}

class RecordingOwner {
  readonly calls: string[] = []
  readonly session = null

  written(): void {}

  overflowing(): void {
    this.calls.push('overflowing')
  }

  drained(): void {
    this.calls.push('drained')
  }
}

function start({ eager = false, reusable = true, limits = roomy, turn = newTurn() } = {}) {
  const stream = new SlowStream(eager)
  const owner = new RecordingOwner()
  const outbox = new Outbox(stream, reusable, turn, limits, owner)
  return { stream, owner, outbox, turn }
}

/** Takes everything that is written, until nothing more comes. */
async function takeAll(stream: SlowStream): Promise<void> {
  for (let quiet = 0; quiet < 3; ) {
    quiet = stream.accept() ? 0 : quiet + 1
    await nextTurn()
  }
}

const text = (length: number, letter: string): Buffer => Buffer.alloc(length, letter)

describe('Outbox', () => {
  it('writes the packets of one turn at once, at its end', async () => {
    const { stream, outbox } = start({ eager: true })
    for (const letter of 'abc') outbox.write(text(10, letter))
    expect(stream.taken.length).toBe(0)
    await nextTurn()
    expect(stream.taken.toString()).toBe('a'.repeat(10) + 'b'.repeat(10) + 'c'.repeat(10))
    expect(stream.writes).toBe(1)
  })

  it('uses a buffer again at once where the write was done at once', async () => {
    const { outbox, turn } = start({ eager: true })
    outbox.write(text(10, 'a'))
    await nextTurn()
    expect(turn.given).toBe(1)
  })

  it('does not use a buffer again before its write is done', async () => {
    const { stream, outbox, turn } = start()
    outbox.write(text(10, 'a'))
    await nextTurn()
    expect(turn.given).toBe(0)
    outbox.write(text(10, 'b'))
    await nextTurn()
    await takeAll(stream)
    expect(stream.taken.toString()).toBe('a'.repeat(10) + 'b'.repeat(10))
    expect(turn.given).toBe(2)
  })

  it('never uses a buffer again where the stream may keep it', async () => {
    const { stream, outbox, turn } = start({ reusable: false })
    for (const letter of 'abc') {
      outbox.write(text(5000, letter))
      await nextTurn()
    }
    await takeAll(stream)
    expect([stream.taken.length, turn.given]).toEqual([15_000, 0])
  })

  it('sends attached bytes as they lie, in their place', async () => {
    const { stream, outbox } = start()
    outbox.write(text(3, 'a'))
    outbox.attach(text(20_000, 'b'))
    outbox.write(text(3, 'c'))
    outbox.attach(text(20_000, 'd'))
    await takeAll(stream)
    expect(stream.taken.toString()).toBe('a'.repeat(3) + 'b'.repeat(20_000) + 'c'.repeat(3) + 'd'.repeat(20_000))
  })

  it('joins neighbouring packets of a chunk to one copy', async () => {
    const { stream, outbox, turn } = start({ eager: true })
    turn.chunk = Buffer.from('..aabbcc..dd')
    outbox.run(2, 4)
    outbox.run(4, 6)
    outbox.run(10, 12)
    turn.settleRuns()
    turn.chunk.fill(0xee)
    await nextTurn()
    expect(stream.taken.toString()).toBe('aabbdd')
  })

  it('keeps a run in its place between other packets', async () => {
    const { stream, outbox, turn } = start({ eager: true })
    turn.chunk = Buffer.from('aabb')
    outbox.write(Buffer.from('1'))
    outbox.run(0, 2)
    outbox.write(Buffer.from('2'))
    outbox.run(2, 4)
    turn.settleRuns()
    outbox.end()
    await nextTurn()
    expect(stream.taken.toString()).toBe('1aa2bb')
  })

  it('writes nothing more once it is closed, and ends the stream once it has ended', async () => {
    const closed = start({ eager: true })
    closed.outbox.write(text(3, 'a'))
    closed.outbox.close()
    await nextTurn()
    expect(closed.stream.taken.length).toBe(0)
    const ended = start({ eager: true })
    ended.outbox.write(text(3, 'a'))
    ended.outbox.end()
    ended.outbox.end()
    await nextTurn()
    expect([ended.stream.taken.toString(), ended.stream.writableFinished]).toEqual(['aaa', true])
  })

  it('ends behind what a slow reader has not taken yet', async () => {
    const { stream, outbox } = start()
    for (const letter of 'abc') {
      outbox.write(text(5000, letter))
      await nextTurn()
    }
    outbox.end()
    await takeAll(stream)
    expect(stream.taken.toString()).toBe('a'.repeat(5000) + 'b'.repeat(5000) + 'c'.repeat(5000))
    expect(stream.writableFinished).toBe(true)
  })
})

describe('an Outbox of a slow reader', () => {
  const limits: OutboxLimits = { maximumOutgoingBytes: 100_000, maximumTotalOutgoingBytes: 10_000_000 }

  /** Writes until the reader counts as too slow. */
  async function congest(parts: ReturnType<typeof start>): Promise<void> {
    for (let n = 0; !parts.outbox.congested; n++) {
      if (n > 1000) throw new Error('it never counts as too slow')
      parts.outbox.write(text(10_000, 'x'))
      await nextTurn()
    }
  }

  it('is congested above its bound, and no longer once everything is taken', async () => {
    const parts = start({ limits })
    await congest(parts)
    expect(parts.outbox.waitingBytes).toBeGreaterThan(100_000)
    expect(parts.owner.calls).toEqual([])
    await takeAll(parts.stream)
    expect([parts.outbox.congested, parts.outbox.waitingBytes, parts.turn.waitingBytes]).toEqual([false, 0, 0])
    expect(parts.owner.calls).toEqual(['drained'])
  })

  it('drops runs while it is congested, and counts their messages', async () => {
    const parts = start({ limits })
    await congest(parts)
    const before = parts.outbox.waitingBytes
    parts.turn.chunk = Buffer.from('aabb')
    parts.outbox.run(0, 2)
    parts.outbox.run(2, 4)
    parts.turn.settleRuns()
    expect([parts.turn.counters.dropped[DropReason.SlowReader], parts.outbox.waitingBytes]).toEqual([2, before])
  })

  it('tells its owner when twice the bound waits', async () => {
    const parts = start({ limits })
    for (let n = 0; n < 22; n++) parts.outbox.attach(text(10_000, 'x'))
    expect(parts.owner.calls).toContain('overflowing')
    await takeAll(parts.stream)
    expect(parts.owner.calls.at(-1)).toBe('drained')
  })

  it('is congested earlier when all connections together are above their budget, but keeps a fair share', async () => {
    const turn = newTurn()
    const tight: OutboxLimits = { maximumOutgoingBytes: 1_000_000, maximumTotalOutgoingBytes: 150_000 }
    const greedy = start({ limits: tight, turn })
    await congest(greedy)
    const modest = start({ limits: tight, turn })
    modest.outbox.write(text(10, 'a'))
    await nextTurn()
    modest.outbox.attach(text(20_000, 'b'))
    expect(modest.outbox.congested).toBe(false)
    modest.outbox.attach(text(60_000, 'c'))
    expect(modest.outbox.congested).toBe(true)
  })

  it('gives the budget back when it is closed', async () => {
    const parts = start({ limits })
    await congest(parts)
    parts.outbox.close()
    expect(parts.turn.waitingBytes).toBe(0)
  })
})

describe('room for a large packet', () => {
  const limits: OutboxLimits = { maximumOutgoingBytes: 100_000, maximumTotalOutgoingBytes: 400_000 }

  it('is there once where nothing waits, whatever the bound of one reader, and not again before it is taken', async () => {
    const { outbox, owner, stream } = start({ limits })
    expect(outbox.admits(200_000)).toBe(true)
    outbox.attach(text(200_000, 'a'))
    expect([outbox.admits(70_000), outbox.congested]).toEqual([false, true])
    await takeAll(stream)
    expect([owner.calls, outbox.admits(70_000)]).toEqual([['drained'], true])
  })

  it('is for each no more than what the others have left of what all may have together', async () => {
    const turn = newTurn()
    const readers = Array.from({ length: 20 }, () => start({ limits, turn }))
    for (const { outbox } of readers) if (outbox.admits(90_000)) outbox.attach(text(90_000, 'a'))
    expect(turn.waitingBytes).toBe(360_000)
    const late = start({ limits, turn })
    expect([late.outbox.admits(70_000), late.outbox.congested]).toEqual([false, true])
    await takeAll(readers[0]!.stream)
    await vi.waitFor(() => expect(late.owner.calls).toEqual(['drained']))
    expect([late.outbox.congested, late.outbox.admits(70_000)]).toEqual([false, true])
  })

  it('comes free when a reader is gone, and nobody is told who has closed meanwhile', async () => {
    const turn = newTurn()
    const [slow, waiting, gone] = [start({ limits, turn }), start({ limits, turn }), start({ limits, turn })]
    slow.outbox.attach(text(390_000, 'a'))
    expect([waiting.outbox.admits(70_000), gone.outbox.admits(70_000)]).toEqual([false, false])
    gone.outbox.close()
    slow.outbox.close()
    await vi.waitFor(() => expect(waiting.owner.calls).toEqual(['drained']))
    expect(gone.owner.calls).toEqual([])
  })

  it('is asked for by a run of one large message', () => {
    const turn = newTurn()
    const [slow, reader] = [start({ limits, turn }), start({ limits, turn })]
    slow.outbox.attach(text(390_000, 'a'))
    turn.chunk = Buffer.alloc(80_000)
    reader.outbox.run(0, 80_000)
    turn.settleRuns()
    expect([turn.counters.dropped[DropReason.SlowReader], turn.waitingBytes]).toEqual([1, 390_000])
  })
})

describe('an Outbox of a reader that is up to date', () => {
  it('is not congested by one message above the bound', async () => {
    const { outbox, stream, owner } = start({ eager: true, limits: { ...roomy, maximumOutgoingBytes: 4096 } })
    outbox.attach(text(20_000, 'a'))
    await nextTurn()
    expect([stream.taken.length, outbox.congested]).toEqual([20_000, false])
    expect(owner.calls).toEqual([])
  })

  it('is not congested by what is written while a large message goes its way at once', async () => {
    const { outbox, stream, turn } = start({ eager: true, limits: { ...roomy, maximumOutgoingBytes: 4096 } })
    turn.chunk = Buffer.alloc(30_000, 'r')
    turn.chunkStable = true
    outbox.write(text(4000, 'a'))
    outbox.run(0, 30_000)
    turn.settleRuns()
    outbox.write(text(4000, 'b'))
    await nextTurn()
    expect([stream.taken.length, outbox.congested]).toEqual([38_000, false])
  })
})

describe('whatever is written, attached, run and taken', () => {
  const length = fc.oneof(
    fc.integer({ min: 1, max: 100 }),
    fc.integer({ min: 4000, max: 4200 }),
    fc.integer({ min: 1, max: 70_000 }),
  )
  const step = fc.record({
    act: fc.constantFrom('write', 'write', 'write', 'attach', 'run', 'turn', 'take', 'take', 'eager', 'slow'),
    length,
  })

  it('arrives whole and in order', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 40 }),
        fc.boolean(),
        fc.boolean(),
        async (steps, reusable, stable) => {
          const unbounded = {
            maximumOutgoingBytes: Number.POSITIVE_INFINITY,
            maximumTotalOutgoingBytes: Number.POSITIVE_INFINITY,
          }
          const { stream, outbox, turn } = start({ reusable, limits: unbounded })
          const wanted: Buffer[] = []
          for (const [n, { act, length }] of steps.entries()) {
            const bytes = text(length, String.fromCharCode(33 + n))
            if (act === 'write' || act === 'attach') {
              if (act === 'write') outbox.write(bytes)
              else outbox.attach(Buffer.from(bytes))
              wanted.push(bytes)
            } else if (act === 'run') {
              turn.chunk = Buffer.from(bytes)
              turn.chunkStable = stable
              outbox.run(0, length)
              turn.settleRuns()
              if (!stable) turn.chunk.fill(0xee)
              wanted.push(bytes)
            } else if (act === 'turn') await nextTurn()
            else if (act === 'take') stream.accept()
            else stream.eager = act === 'eager'
          }
          stream.eager = false
          await takeAll(stream)
          expect(stream.taken.equals(Buffer.concat(wanted))).toBe(true)
          expect([outbox.waitingBytes, turn.waitingBytes]).toEqual([0, 0])
        },
      ),
      { numRuns: 300 },
    )
  })
})

describe('BufferPool', () => {
  it('gives buffers of at least the size that is asked for', () => {
    const pool = new BufferPool()
    for (const size of [1, 4096, 4097, 65_536, 65_537, 1_000_000])
      expect(pool.take(size).length).toBeGreaterThanOrEqual(size)
  })

  it('gives back what it was given, and nothing of another size', () => {
    const pool = new BufferPool()
    const [small, large] = [pool.take(1), pool.take(5000)]
    pool.give(small)
    pool.give(large)
    pool.give(Buffer.alloc(100_000))
    expect([pool.take(9), pool.take(65_536)]).toEqual([small, large])
    expect(pool.take(100_000)).not.toBe(small)
  })
})
