import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { collect, openStore, scratchFolder, until } from './store-fixture'
import { runWithStore } from './store-process'

/**
 * Commits one number after the other in all sorts of commits, and reports each that is kept. Number n is in both
 * queues, or delivered from both, in one commit with the next.
 */
const committing = `
  import { writeSync } from 'node:fs'
  const store = lmdbStore(argument)
  await store.open()
  const head = (clientId) => ({
    type: 'session',
    session: { clientId, username: undefined, expiryInterval: 1, disconnectedAt: 0, will: undefined },
  })
  const entry = (position, message) => ({
    position, message, qos: 1, retain: false, subscriptionIdentifiers: [], packetIdentifier: 0, received: false, share: undefined,
  })
  const queued = { a: 0, b: 0 }
  for await (const { session, lastPosition } of store.sessions()) queued[session.clientId] = lastPosition
  if (queued.a === 0) await store.commit([head('a'), head('b')])
  let next = queued.a
  const write = async () => {
    for (;;) {
      const position = ++next
      const payload = Buffer.alloc((position * 131) % 6000, position % 251)
      const message = { topic: 't/' + position, payload, qos: 1, properties: undefined, expiresAt: undefined }
      const changes = [
        { type: 'enqueue', clientId: 'a', entry: entry(position, message) },
        { type: 'enqueue', clientId: 'b', entry: entry(position, message) },
        { type: 'retain', message: { ...message, topic: 'r/' + (position % 7) } },
        { type: 'hold', clientId: 'a', packetIdentifier: 1 + (position % 1000) },
      ]
      if (position > 200) {
        changes.push({ type: 'dequeue', clientId: 'a', position: position - 200 })
        changes.push({ type: 'dequeue', clientId: 'b', position: position - 200 })
        changes.push({ type: 'release', clientId: 'a', packetIdentifier: 1 + ((position - 200) % 1000) })
      }
      if (position % 10 === 0) changes.push(head('s' + position))
      if (position % 10 === 5) changes.push({ type: 'end', clientId: 's' + (position - 5) })
      await store.commit(changes)
      writeSync(1, position + '\\n')
    }
  }
  await Promise.all(Array.from({ length: 8 }, write))
`

/** Every commit but those still on their way: position, both queues, the retained message, all or nothing. */
async function checkWhole(folder: string, acknowledged: number): Promise<number> {
  const store = await openStore(folder)
  expect(store.verify()).toEqual([])
  const states = new Map((await collect(store.sessions())).map((state) => [state.session.clientId, state]))
  const last = states.get('a')?.lastPosition ?? 0
  expect(last).toBeGreaterThanOrEqual(acknowledged)
  const [a, b] = [await store.queue('a', 0, 10_000), await store.queue('b', 0, 10_000)]
  expect(b.map(({ position }) => position)).toEqual(a.map(({ position }) => position))
  const first = Math.max(1, last - 199)
  expect(a.map(({ position }) => position)).toEqual(Array.from({ length: last - first + 1 }, (_, i) => first + i))
  for (const { position, message } of [...a, ...b]) {
    expect(message.topic).toBe(`t/${position}`)
    const payload = Buffer.alloc((position * 131) % 6000, position % 251)
    expect(payload.equals(message.payload)).toBe(true)
  }
  expect(await store.held('a')).toHaveLength(a.length)
  await store.close()
  return last
}

describe('a store whose process is killed', () => {
  it('has everything that was acknowledged, and nothing by halves, round after round', async () => {
    const folder = scratchFolder()
    let last = 0
    for (let round = 0; round < 20; round++) {
      const child = await runWithStore(committing, folder)
      const enough = last + 1 + ((round * 37) % 120)
      const acknowledged = () => Number(child.output.trimEnd().split('\n').pop())
      await until(() => acknowledged() >= enough || child.errors !== '', 'the process has committed', 30)
      expect(child.errors).toBe('')
      await child.kill()
      // a line that was cut off is no acknowledgement
      const whole = child.output.slice(0, child.output.lastIndexOf('\n') + 1)
      last = await checkWhole(folder, Math.max(...whole.trim().split('\n').map(Number)))
    }
    expect(last).toBeGreaterThan(200)
  }, 120_000)
})

describe('a commit of a store', () => {
  const hasStrace = spawnSync('strace', ['-V']).status === 0

  it('is answered after its bytes were flushed to the disk', async (context) => {
    if (!hasStrace) return context.skip('strace is not installed')
    const folder = scratchFolder()
    const trace = join(scratchFolder(), 'trace')
    const child = await runWithStore(
      `
      import { writeSync } from 'node:fs'
      const store = lmdbStore(argument)
      await store.open()
      for (let i = 0; i < 5; i++) {
        writeSync(1, 'commit\\n')
        await store.commit([{ type: 'retain', message: { topic: 't' + i, payload: Buffer.from('p'), qos: 1 } }])
        writeSync(1, 'kept\\n')
      }
      await store.close()
      `,
      folder,
      [
        'strace',
        '-f',
        '-y',
        '-qq',
        '-e',
        'trace=write,writev,pwrite64,pwritev,fdatasync,fsync,msync,openat',
        '-o',
        trace,
      ],
    )
    expect(await child.ended).toBe(0)
    const text = readFileSync(trace, 'utf8')
    expect(text).toMatch(/data\.mdb", [A-Z_|]*O_DSYNC/)
    const steps = text
      .split('\n')
      .map(stepOf)
      .filter((step) => step !== undefined)
      .join(' ')
    const commits = steps.slice(steps.indexOf('commit')).split('commit ').slice(1)
    expect(commits).toHaveLength(5)
    // pages, their flush, and the root by a descriptor that flushes with each write
    for (const commit of commits) expect(commit).toMatch(/^(write )+flush write kept/)
  }, 60_000)
})

function stepOf(line: string): string | undefined {
  if (/write\(1<.*"commit\\n"/.test(line)) return 'commit'
  if (/write\(1<.*"kept\\n"/.test(line)) return 'kept'
  if (/(pwrite64|pwritev|writev)\(.*data\.mdb/.test(line)) return 'write'
  if (/f(data)?sync\(.*data\.mdb/.test(line)) return 'flush'
  return undefined
}
