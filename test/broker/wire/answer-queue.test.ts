import { describe, expect, it } from 'vitest'
import { AnswerQueue } from '../../../src/broker/wire/answer-queue'
import { nextTurn } from '../../support/slow-stream'

interface Commit {
  readonly promise: Promise<void>
  keep(): void
  fail(error: unknown): void
}

function newCommit(): Commit {
  let keep = (): void => undefined
  let fail = (_error: unknown): void => undefined
  const promise = new Promise<void>((resolve, reject) => {
    keep = resolve
    fail = reject
  })
  return { promise, keep, fail }
}

function recorded(): { queue: AnswerQueue; log: string[]; note: (name: string) => (error: unknown) => void } {
  const log: string[] = []
  const note = (name: string) => (error: unknown) => {
    log.push(error === undefined ? name : `${name} failed: ${error instanceof Error ? error.message : String(error)}`)
  }
  return { queue: new AnswerQueue(), log, note }
}

describe('AnswerQueue', () => {
  it('runs at once what needs no commit and has nothing before it', () => {
    const { queue, log, note } = recorded()
    queue.after(undefined, note('a'))
    expect([log, queue.empty]).toEqual([['a'], true])
  })

  it('lets what is ready wait for what came before it', async () => {
    const { queue, log, note } = recorded()
    const first = newCommit()
    queue.after(first.promise, note('a'))
    queue.after(undefined, note('b'))
    await nextTurn()
    expect([log, queue.empty]).toEqual([[], false])
    first.keep()
    await nextTurn()
    expect([log, queue.empty]).toEqual([['a', 'b'], true])
  })

  it('keeps the order when commits settle in another', async () => {
    const { queue, log, note } = recorded()
    const commits = [newCommit(), newCommit(), newCommit()]
    for (const [n, { promise }] of commits.entries()) queue.after(promise, note(`${n}`))
    for (const n of [2, 0]) commits[n]!.keep()
    await nextTurn()
    expect(log).toEqual(['0'])
    commits[1]!.keep()
    await nextTurn()
    expect(log).toEqual(['0', '1', '2'])
  })

  it('tells a step that its commit failed, and only that step', async () => {
    const { queue, log, note } = recorded()
    const [first, second] = [newCommit(), newCommit()]
    queue.after(first.promise, note('a'))
    queue.after(second.promise, note('b'))
    queue.after(undefined, note('c'))
    second.keep()
    first.fail(new Error('disk full'))
    await nextTurn()
    expect(log).toEqual(['a failed: disk full', 'b', 'c'])
  })

  it('takes a rejection without a reason for a failure too', async () => {
    const { queue, log, note } = recorded()
    const commit = newCommit()
    queue.after(commit.promise, note('a'))
    commit.fail(undefined)
    await nextTurn()
    expect(log).toEqual(['a failed: the store did not commit'])
  })

  it('lets a step add another', async () => {
    const { queue, log, note } = recorded()
    const commit = newCommit()
    queue.after(commit.promise, () => {
      note('a')(undefined)
      queue.after(undefined, note('c'))
    })
    queue.after(undefined, note('b'))
    commit.keep()
    await nextTurn()
    expect(log).toEqual(['a', 'b', 'c'])
  })
})

it('runs a hundred thousand steps in time that grows with their number alone', async () => {
  const queue = new AnswerQueue()
  let open: () => void = () => undefined
  const committed = new Promise<void>((resolve) => {
    open = resolve
  })
  let steps = 0
  queue.after(committed, () => steps++)
  for (let n = 1; n < 100_000; n++) queue.after(undefined, () => steps++)
  const before = process.cpuUsage()
  open()
  await committed
  const { user, system } = process.cpuUsage(before)
  expect(steps).toBe(100_000)
  expect(queue.empty).toBe(true)
  expect((user + system) / 1000).toBeLessThan(1000)
})
