import { hostname } from 'node:os'
import { givenInteger } from '../../ports/given-values'
import { type Logger, silentLogger } from '../../ports/logger'
import type { Change, QueueEntry, Store, StoredMessage, StoredSessionState } from '../../ports/store'
import { prefixOf } from './namespace'
import { type Connect, connectLike, type RedisClient } from './redis-client'
import { foreignKey, MOST_REPLICAS } from './redis-engine'
import { redisFailed } from './redis-error'
import { RedisLink } from './redis-link'
import { listOf, numberOf, textOf } from './reply'
import { Script } from './script'
import { lockScript, openScript } from './scripts/joining'
import { checkServer } from './server-settings'
import { SessionReader } from './session-reader'
import { Snapshots } from './snapshots'
import { StoreCommits } from './store-commits'
import { WriteLine } from './write-line'

/** Milliseconds that a namespace stays taken when its process has died, and until the lock is renewed. */
const LOCK_MS = 5000
const RENEWAL_MS = 1500
/** Milliseconds between two attempts to take it. */
const ATTEMPT_MS = 100
/** Sessions that are read at once at the start. */
const PAGE = 100

/** The node that all sessions of a store belong to. */
const STORE_NODE = 1

export interface RedisStoreOptions {
  /** A client of ioredis, iovalkey or redis. It is duplicated, and stays the caller's. */
  client: RedisClient
  /** What all keys begin with: letters, digits and . _ - : */
  namespace: string
  /** Is told what the settings of Redis do not promise, and when Redis is away. Default: nothing is logged. */
  logger?: Logger | undefined
  /** How many replicas have to have a commit before it is answered. Default: 0. */
  waitReplicas?: number | undefined
}

interface OpenStore {
  readonly link: RedisLink
  readonly commits: StoreCommits
  readonly sessions: SessionReader
  readonly snapshots: Snapshots
  readonly token: string
  readonly timer: NodeJS.Timeout
}

/** A store on Redis or Valkey, for one broker at a time. Made by `redisStore`. */
export class RedisStore implements Store {
  private readonly connect: Connect
  private readonly prefix: string
  private readonly logger: Logger
  private readonly replicas: number
  private readonly scripts = { open: new Script(openScript), lock: new Script(lockScript) }
  private readonly owner = `${hostname()}, process ${process.pid}`
  private opened: OpenStore | undefined
  private isClosing = false

  constructor({ client, namespace, logger, waitReplicas = 0 }: RedisStoreOptions) {
    this.connect = connectLike(client)
    this.prefix = prefixOf(namespace)
    this.logger = logger ?? silentLogger
    this.replicas = givenInteger('waitReplicas', waitReplicas, 0, MOST_REPLICAS)
  }

  /**
   * Rejects with GNATMQ_STORE_FAILED when Redis cannot be reached or written to, when the namespace is in use by another broker, or when it
   * holds what is not a store. A broker that has died keeps the namespace for up to 5 seconds.
   */
  async open(): Promise<void> {
    if (this.opened !== undefined) throw redisFailed('the store is open already')
    this.isClosing = false
    const link: RedisLink = new RedisLink(this.connect, {
      unavailable: (err) => {
        this.logger.warn({ err }, 'Redis cannot be reached: commits wait')
        if (this.isClosing) link.close()
      },
      available: () => this.logger.info({}, 'Redis can be reached'),
    })
    await link.open()
    try {
      await checkServer(link, this.logger)
      const token = await this.take(link)
      const { prefix, replicas } = this
      const writes = new WriteLine(link, { prefix, epoch: STORE_NODE, token, replicas })
      const timer = setInterval(() => void this.renew(link, token), RENEWAL_MS)
      timer.unref()
      this.opened = {
        link,
        commits: new StoreCommits(writes, Number(token)),
        sessions: new SessionReader(link, this.prefix),
        snapshots: new Snapshots(link, this.prefix),
        token,
        timer,
      }
    } catch (error) {
      link.close()
      throw error
    }
  }

  /** Writes what still waits, and gives the namespace up. Where Redis is away, that does not wait for it. Harmless when not open. */
  async close(): Promise<void> {
    const { opened } = this
    if (opened === undefined) return
    this.opened = undefined
    clearInterval(opened.timer)
    this.isClosing = true
    if (!opened.link.isReachable) opened.link.close()
    try {
      await opened.commits.close()
      await this.renew(opened.link, opened.token, 0)
    } finally {
      opened.link.close()
    }
  }

  commit(changes: readonly Change[]): Promise<void> {
    return this.current.commits.commit(changes)
  }

  async *sessions(): AsyncIterable<StoredSessionState> {
    const { link, sessions } = this.current
    // a set that is scanned may give an element twice
    const seen = new Set<string>()
    let cursor = '0'
    do {
      const [next, found] = listOf(
        await link.command('SSCAN', `${this.prefix}own:${STORE_NODE}`, cursor, 'COUNT', String(PAGE)),
      )
      cursor = textOf(next)
      const clientIds = listOf(found)
        .map(textOf)
        .filter((clientId) => !seen.has(clientId))
      for (const clientId of clientIds) seen.add(clientId)
      for (const state of await Promise.all(clientIds.map((clientId) => sessions.state(clientId))))
        if (state !== undefined) yield state
    } while (cursor !== '0')
  }

  async *retained(): AsyncIterable<StoredMessage> {
    for await (const page of this.current.snapshots.retainedRows()) yield* page
  }

  async queue(clientId: string, after: number, limit: number): Promise<readonly QueueEntry[]> {
    return this.current.sessions.queue(clientId, after, limit)
  }

  async held(clientId: string): Promise<readonly number[]> {
    return this.current.sessions.held(clientId)
  }

  private get current(): OpenStore {
    if (this.opened === undefined) throw redisFailed('the store is not open: call open() first')
    return this.opened
  }

  /** Waits until a lock that is not renewed ends, and no longer. */
  private async take(link: RedisLink): Promise<string> {
    const args = [this.prefix, this.owner, String(LOCK_MS)]
    let shortest = Number.POSITIVE_INFINITY
    for (;;) {
      const [outcome, ...rest] = listOf(await link.run(this.scripts.open, [`${this.prefix}lock`], args))
      if (textOf(outcome) === 'opened') return textOf(rest[0])
      if (textOf(outcome) === 'type') throw foreignKey(this.prefix, rest.map(textOf))
      if (textOf(outcome) === 'cluster')
        throw redisFailed('the namespace belongs to a cluster: choose another one, or give the broker the cluster')
      const left = numberOf(rest[1])
      // it has been renewed, or it is another one
      if (left > shortest) throw redisFailed(`the namespace is in use by ${textOf(rest[0])}: stop that broker first`)
      shortest = left
      await new Promise((resolve) => setTimeout(resolve, ATTEMPT_MS))
    }
  }

  /** 0 milliseconds give the lock up. */
  private async renew(link: RedisLink, token: string, ms = LOCK_MS): Promise<void> {
    try {
      const args = [this.prefix, token, String(ms), this.owner]
      const reply = await link.run(this.scripts.lock, [`${this.prefix}lock`], args)
      if (numberOf(reply) === 0)
        this.logger.error({}, 'another broker has taken the namespace: nothing is kept any more')
    } catch (err) {
      if (this.opened !== undefined) this.logger.error({ err }, 'the lock of the namespace could not be renewed')
    }
  }
}
