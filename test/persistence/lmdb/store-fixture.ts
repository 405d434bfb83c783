import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { type LmdbStore, type LmdbStoreOptions, lmdbStore } from '../../../src/persistence/lmdb'
import type { Change, QueueEntry, StoredMessage, StoredSession, StoredSubscription } from '../../../src/ports/store'

/** An empty folder that goes with the test. */
export function scratchFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'gnatmq-store-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** A folder with a file system of its own for the test; `problem` says why there is none. */
export function mounted(options: readonly string[]): { folder: string; problem: string | undefined } {
  const folder = scratchFolder()
  const { status, stderr, error } = spawnSync('mount', [...options, folder], { encoding: 'utf8' })
  if (status !== 0) return { folder, problem: error?.message ?? stderr.trim() }
  onTestFinished(() => void spawnSync('umount', [folder]))
  return { folder, problem: undefined }
}

/** A store that is open until the test is over. */
export async function openStore(folder = scratchFolder(), options: LmdbStoreOptions = {}): Promise<LmdbStore> {
  const store = lmdbStore(folder, options)
  onTestFinished(() => store.close())
  await store.open()
  return store
}

export const message = (
  topic: string,
  payload: string | Uint8Array,
  more: Partial<StoredMessage> = {},
): StoredMessage => ({
  topic,
  payload: typeof payload === 'string' ? Buffer.from(payload) : payload,
  qos: 1,
  properties: undefined,
  expiresAt: undefined,
  ...more,
})

export const entry = (position: number, of: StoredMessage, more: Partial<QueueEntry> = {}): QueueEntry => ({
  position,
  message: of,
  qos: 1,
  retain: false,
  subscriptionIdentifiers: [],
  packetIdentifier: 0,
  received: false,
  share: undefined,
  ...more,
})

export const session = (clientId: string, more: Partial<StoredSession> = {}): Change => ({
  type: 'session',
  session: { clientId, username: undefined, expiryInterval: 3600, disconnectedAt: 0, will: undefined, ...more },
})

export const subscription = (filter: string, more: Partial<StoredSubscription> = {}): StoredSubscription => ({
  filter,
  qos: 1,
  noLocal: false,
  retainAsPublished: false,
  retainHandling: 0,
  subscriptionIdentifier: 0,
  ...more,
})

export const enqueue = (clientId: string, of: QueueEntry): Change => ({ type: 'enqueue', clientId, entry: of })
export const dequeue = (clientId: string, position: number): Change => ({ type: 'dequeue', clientId, position })
export const end = (clientId: string): Change => ({ type: 'end', clientId })

export async function collect<T>(rows: Iterable<T> | AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const row of rows) all.push(row)
  return all
}

export async function until(condition: () => boolean | Promise<boolean>, what: string, seconds = 15): Promise<void> {
  const deadline = Date.now() + seconds * 1000
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`waited in vain until ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
