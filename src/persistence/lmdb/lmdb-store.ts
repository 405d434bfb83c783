import { existsSync, readdirSync, statfsSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Change, QueueEntry, Store, StoredMessage, StoredSessionState } from '../../ports/store'
import { MqttError } from '../../protocol/mqtt-error'
import { DataFileRoom } from './data-file-room'
import { type Environment, loadLmdb } from './environment'
import { FolderLock } from './folder-lock'
import { makeFolder, makePrivate } from './private-files'
import { damaged, messageOf, storeFailed } from './store-error'
import { DATA_FILE, openEnvironment, openFolder } from './store-folder'
import { StoreReader } from './store-reader'
import { verifyStore } from './store-verification'
import { TransactionQueue } from './transaction-queue'

export interface LmdbStoreOptions {
  /**
   * When a commit is answered.
   *
   * - `sync`: once its bytes are on the disk. Commits that come together share one flush. The default.
   * - `interval`: once they are written; the disk gets them every `flushIntervalMs`.
   * - `none`: once they are written; the operating system decides when the disk gets them.
   *
   * A process that is killed loses nothing in any of the three. When the machine loses its power, `sync` loses
   * nothing; the other two lose the last commits, and may leave a damaged file, which is then refused: keep backups.
   */
  durability?: 'sync' | 'interval' | 'none' | undefined
  /** Milliseconds between two flushes with `durability: 'interval'`. Default: 1000. */
  flushIntervalMs?: number | undefined
  /**
   * Bytes that the file may hold, free pages not counted. Commits that would add to more fail with
   * GNATMQ_STORE_FAILED until space comes back; clients that come back and removals go on. Default: no bound but the
   * disk's.
   */
  maximumBytes?: number | undefined
}

/** What `statistics()` tells. The first six are of the file, the others since `open`. */
export interface LmdbStoreStatistics {
  sessions: number
  /** Messages, each counted once however many sessions have it queued. */
  messages: number
  queuedEntries: number
  retainedMessages: number
  /** Bytes of the file, free pages and the room for what comes next included. */
  fileBytes: number
  /** Bytes of its pages that hold something. */
  usedBytes: number
  commits: number
  transactions: number
  failedTransactions: number
  /** How often the disk was made to have everything. */
  flushes: number
}

interface OpenStore {
  readonly lock: FolderLock
  readonly room: DataFileRoom
  environment: Environment
  readonly queue: TransactionQueue
  readonly timer: NodeJS.Timeout | undefined
}

const DEFAULT_FLUSH_INTERVAL_MS = 1000

/** A store in one folder. Made by `lmdbStore`. */
export class LmdbStore implements Store {
  private readonly folder: string
  private readonly file: string
  private readonly durability: 'sync' | 'interval' | 'none'
  private readonly flushIntervalMs: number
  private readonly maximumBytes: number | undefined
  private opened: OpenStore | undefined
  private flushes = 0
  private isUnflushed = false
  private readonly touches = new Set<Promise<void>>()

  constructor(path: string, options: LmdbStoreOptions) {
    this.folder = resolve(path)
    this.file = join(this.folder, DATA_FILE)
    this.durability = options.durability ?? 'sync'
    this.flushIntervalMs = options.flushIntervalMs ?? DEFAULT_FLUSH_INTERVAL_MS
    this.maximumBytes = options.maximumBytes
    checkOptions(this.durability, this.flushIntervalMs, this.maximumBytes)
  }

  /**
   * Rejects with GNATMQ_DEPENDENCY_MISSING without the package `lmdb`, and with GNATMQ_STORE_FAILED when the folder is
   * in use, read-only, damaged, or of a newer version.
   */
  async open(): Promise<void> {
    if (this.opened !== undefined) throw storeFailed(`the store of ${this.folder} is open already`)
    await loadLmdb()
    const lock = await this.acquire()
    try {
      const environment = await openFolder(this.folder, this.durability === 'sync')
      this.flushes = 0
      this.opened = { lock, environment, ...this.startQueue(environment), timer: this.startFlushing() }
    } catch (error) {
      lock.release()
      throw error
    }
  }

  /** Writes what still waits, brings it to the disk and lets go of the folder. Harmless when it is not open. */
  async close(): Promise<void> {
    const { opened } = this
    if (opened === undefined) return
    await opened.queue.close()
    clearInterval(opened.timer)
    await this.untouched()
    this.opened = undefined
    try {
      if (this.durability !== 'sync') await opened.environment.sync()
    } finally {
      opened.room.close()
      await opened.environment.close().finally(() => opened.lock.release())
    }
  }

  commit(changes: readonly Change[]): void | Promise<void> {
    return this.current.queue.commit(changes)
  }

  sessions(): AsyncIterable<StoredSessionState> {
    return this.guarded(this.reader.sessions())
  }

  retained(): AsyncIterable<StoredMessage> {
    return this.guarded(this.reader.retained())
  }

  /** Answers at once, unless a commit that touches this session is still on its way: then after that. */
  queue(clientId: string, after: number, limit: number): readonly QueueEntry[] | Promise<readonly QueueEntry[]> {
    return this.afterCommits(clientId, () => this.reader.queue(clientId, after, limit))
  }

  held(clientId: string): readonly number[] | Promise<readonly number[]> {
    return this.afterCommits(clientId, () => this.reader.held(clientId))
  }

  /**
   * Copies the committed state, compacted, into a folder that is new or empty, while the store goes on. The copy is a
   * store folder itself.
   */
  async backup(path: string): Promise<void> {
    const { environment } = this.current
    const folder = resolve(path)
    if (existsSync(folder) && readdirSync(folder).length > 0) {
      throw storeFailed(`the backup folder ${folder} is not empty: name one that is`)
    }
    try {
      makeFolder(folder)
      await this.touching(environment.backup(folder))
      makePrivate(join(folder, DATA_FILE))
    } catch (cause) {
      throw storeFailed(`the backup to ${folder} failed: ${messageOf(cause)}`, cause)
    }
  }

  statistics(): LmdbStoreStatistics {
    const { environment, queue } = this.current
    const { commits, transactions, failedTransactions } = queue.counts
    return {
      sessions: environment.entryCount('sessions'),
      messages: environment.entryCount('messages'),
      queuedEntries: environment.entryCount('queue'),
      retainedMessages: environment.entryCount('retained'),
      fileBytes: statSync(this.file).size,
      usedBytes: environment.usedBytes(),
      commits,
      transactions,
      failedTransactions,
      flushes: this.flushes,
    }
  }

  /**
   * Reads everything and compares it: counters with queues, reference counts with references. Gives what is wrong, one
   * line each. Not to be called while commits are open.
   * @internal
   */
  verify(): string[] {
    return verifyStore(this.current.environment)
  }

  private get current(): OpenStore {
    if (this.opened === undefined) throw storeFailed(`the store of ${this.folder} is not open: call open() first`)
    return this.opened
  }

  private get reader(): StoreReader {
    const { environment, queue } = this.current
    return new StoreReader(environment, queue.messageNumbers)
  }

  private async acquire(): Promise<FolderLock> {
    try {
      makeFolder(this.folder)
      return await FolderLock.acquire(this.folder)
    } catch (cause) {
      if (cause instanceof MqttError) throw cause
      throw storeFailed(
        `the store folder ${this.folder} cannot be written to: ${messageOf(cause)}. ` +
          'Make it writable for this process, or name another one',
        cause,
      )
    }
  }

  private startQueue(environment: Environment): Pick<OpenStore, 'room' | 'queue'> {
    let room: DataFileRoom | undefined
    try {
      room = new DataFileRoom(this.file)
      return { room, queue: new TransactionQueue(environment, this.queueOptions(room)) }
    } catch (cause) {
      room?.close()
      void environment.close()
      throw cause instanceof MqttError ? cause : damaged(this.file, cause)
    }
  }

  private queueOptions(room: DataFileRoom) {
    return {
      room,
      now: () => performance.now(),
      maximumBytes: this.maximumBytes,
      onTransaction: () => {
        if (this.durability === 'sync') this.flushes++
        else this.isUnflushed = true
      },
      reopen: () => this.reopen(),
      describeDisk: () => describeDisk(this.folder),
    }
  }

  private async reopen(): Promise<Environment> {
    const { current } = this
    await this.untouched()
    await current.environment.close()
    current.environment = await openEnvironment(this.folder, this.durability === 'sync')
    return current.environment
  }

  private startFlushing(): NodeJS.Timeout | undefined {
    if (this.durability !== 'interval') return undefined
    const timer = setInterval(() => void this.flush(), this.flushIntervalMs)
    timer.unref()
    return timer
  }

  private async flush(): Promise<void> {
    if (!this.isUnflushed || this.opened === undefined) return
    this.isUnflushed = false
    try {
      await this.touching(this.opened.environment.sync())
      this.flushes++
    } catch {
      this.isUnflushed = true
    }
  }

  /** Remembers work of another thread on the file, which must not be closed meanwhile. */
  private async touching(work: Promise<void>): Promise<void> {
    this.touches.add(work)
    try {
      await work
    } finally {
      this.touches.delete(work)
    }
  }

  private async untouched(): Promise<void> {
    while (this.touches.size > 0) await Promise.allSettled(this.touches)
  }

  private afterCommits<T>(clientId: string, read: () => T): T | Promise<T> {
    const written = this.current.queue.writtenFor(clientId)
    return written === undefined ? this.read(read) : written.then(() => this.read(read))
  }

  private read<T>(read: () => T): T {
    try {
      return read()
    } catch (cause) {
      throw cause instanceof MqttError ? cause : damaged(this.file, cause)
    }
  }

  private async *guarded<T>(rows: AsyncIterable<T>): AsyncIterable<T> {
    try {
      yield* rows
    } catch (cause) {
      throw cause instanceof MqttError ? cause : damaged(this.file, cause)
    }
  }
}

function describeDisk(folder: string): string {
  try {
    const { bavail, bsize } = statfsSync(folder)
    return `The disk has ${bavail * bsize} bytes left`
  } catch (error) {
    return `The disk does not answer: ${messageOf(error)}`
  }
}

function checkOptions(durability: string, flushIntervalMs: number, maximumBytes: number | undefined): void {
  if (!['sync', 'interval', 'none'].includes(durability)) {
    throw new MqttError('GNATMQ_OPTION_INVALID', `durability is "${durability}": it is one of sync, interval, none`)
  }
  if (!(flushIntervalMs >= 1 && flushIntervalMs <= 0x7fffffff)) {
    throw new MqttError('GNATMQ_OPTION_INVALID', `flushIntervalMs is ${flushIntervalMs}: it is 1 or more milliseconds`)
  }
  if (maximumBytes !== undefined && !(maximumBytes >= 1024 * 1024)) {
    throw new MqttError('GNATMQ_OPTION_INVALID', `maximumBytes is ${maximumBytes}: it is 1048576 or more`)
  }
}
