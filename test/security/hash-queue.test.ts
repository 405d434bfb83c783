import { describe, expect, it } from 'vitest'
import { HashQueue } from '../../src/security/hash-queue'
import { nextTurn } from '../support/slow-stream'

const never = new AbortController().signal

function start(maximum: number) {
  const queue = new HashQueue(maximum)
  const begun: string[] = []
  const endings = new Map<string, () => void>()
  const run = (name: string, remoteAddress: string | undefined, signal = never): Promise<string | undefined> =>
    queue.run({ remoteAddress, signal }, () => {
      begun.push(name)
      return new Promise((resolve) => endings.set(name, () => resolve(name)))
    })
  const end = async (name: string): Promise<void> => {
    endings.get(name)!()
    await nextTurn()
  }
  return { queue, begun, run, end }
}

describe('a queue of hashes', () => {
  it('hashes so many at once, addresses by turns, and of one address the newest first', async () => {
    const { begun, end, run } = start(1)
    const all = ['a1', 'a2', 'a3', 'b1'].map((name) => run(name, name[0]))
    for (const name of ['a1', 'a3', 'b1', 'a2']) await end(name)
    expect(begun).toEqual(['a1', 'a3', 'b1', 'a2'])
    expect(await Promise.all(all)).toEqual(['a1', 'a2', 'a3', 'b1'])
  })

  it('hashes nothing for those who go while they wait, or have gone before', async () => {
    const { begun, end, run } = start(1)
    const aborter = new AbortController()
    run('a1', 'a')
    const gone = run('a2', 'a', aborter.signal)
    aborter.abort()
    expect(await gone).toBeUndefined()
    expect(await run('a3', 'a', aborter.signal)).toBeUndefined()
    await end('a1')
    expect(begun).toEqual(['a1'])
  })

  it('goes on after a hash that fails', async () => {
    const { begun, queue, run } = start(1)
    const failing = queue.run(undefined, () => Promise.reject(new Error('no memory')))
    run('next', undefined)
    await expect(failing).rejects.toThrow('no memory')
    await nextTurn()
    expect(begun).toEqual(['next'])
  })

  it('never has more under way than it may, also when one begins as another ends', async () => {
    const { begun, end, run } = start(2)
    for (const name of ['a', 'b', 'c', 'd']) run(name, name)
    await end('a')
    run('e', 'e')
    expect(begun).toEqual(['a', 'b', 'c'])
  })
})
