import { describe, expect, it } from 'vitest'
import { HookRunner } from '../../../src/broker/hooks/hook-runner'
import { SimulatedClock } from '../../../src/testing/simulated-clock'
import { nextTurn } from '../../support/slow-stream'

function start() {
  const clock = new SimulatedClock()
  const runner = new HookRunner(clock, 100)
  const ask = (hook: () => unknown, read = (verdict: unknown): string => `read ${String(verdict)}`) =>
    runner.ask(hook, read, (cause) => `failed: ${(cause as Error).message}`)
  return { clock, ask }
}

const throws = (): never => {
  throw new Error('no')
}

/** A promise of another library. */
const thenable = (then: (resolve: (value: unknown) => void) => void): unknown => Object.fromEntries([['then', then]])

describe('HookRunner', () => {
  it('answers at once where the hook does, and waits for nothing', () => {
    const { ask, clock } = start()
    expect(ask(() => 7)).toBe('read 7')
    expect(ask(throws)).toBe('failed: no')
    expect(ask(() => 7, throws)).toBe('failed: no')
    expect(clock.pending).toBe(0)
  })

  it('answers as the promise does, and leaves no timer', async () => {
    const { ask, clock } = start()
    await expect(ask(() => Promise.resolve(7))).resolves.toBe('read 7')
    await expect(ask(() => Promise.reject(new Error('no')))).resolves.toBe('failed: no')
    await expect(ask(() => Promise.resolve(7), throws)).resolves.toBe('failed: no')
    expect(clock.pending).toBe(0)
  })

  it('has failed when the time is over, and not before', async () => {
    const { ask, clock } = start()
    const log: string[] = []
    void (ask(() => new Promise(() => undefined)) as Promise<string>).then((answer) => log.push(answer))
    clock.advance(99)
    await nextTurn()
    expect(log).toEqual([])
    clock.advance(1)
    await nextTurn()
    expect(log).toEqual(['failed: no answer within 100 ms'])
    expect(clock.pending).toBe(0)
  })

  it.each<[string, (answer: { resolve(value: number): void; reject(error: Error): void }) => void]>([
    ['answer', ({ resolve }) => resolve(7)],
    ['rejection', ({ reject }) => reject(new Error('late'))],
  ])('is changed by no later %s', async (_, late) => {
    const { ask, clock } = start()
    let settle = { resolve: (_value: number): void => undefined, reject: (_error: Error): void => undefined }
    const answer = ask(() => new Promise<number>((resolve, reject) => (settle = { resolve, reject })))
    clock.advance(100)
    await expect(answer).resolves.toBe('failed: no answer within 100 ms')
    late(settle)
    await nextTurn()
    await expect(answer).resolves.toBe('failed: no answer within 100 ms')
  })

  it.each<[string, unknown, string]>([
    ['is answered by', thenable((resolve) => resolve(7)), 'read 7'],
    ['is answered by the promise of', thenable((resolve) => resolve(Promise.resolve(7))), 'read 7'],
    ['fails with', thenable(throws), 'failed: no'],
  ])('%s a foreign promise', async (_, promise, answer) => {
    const { ask, clock } = start()
    await expect(ask(() => promise)).resolves.toBe(answer)
    expect(clock.pending).toBe(0)
  })

  it('has failed at once where a foreign promise cannot be looked at', () => {
    const { ask } = start()
    const promise = Object.defineProperty({}, 'then', { get: throws })
    expect(ask(() => promise)).toBe('failed: no')
  })
})
