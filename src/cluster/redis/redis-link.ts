import type { RedisConnection } from './connection'
import type { Connect } from './redis-client'
import { closed, isUnavailable, refused, serverWord, unreachable } from './redis-error'
import { type Argument, numberOf, type Reply } from './reply'
import type { Script } from './script'

/** Milliseconds before a call is sent again that could not be answered. */
const PAUSE_MS = 20

/** Milliseconds that replicas are waited for, before the server is asked again. */
const REPLICA_WAIT_MS = 1000

/** Told when a server is lost, and when it is back. */
export interface LinkEvents {
  unavailable(error: Error): void
  available(): void
}

/** A connection whose calls wait while the server is away, and are sent again until they are answered. */
export class RedisLink {
  private readonly connection: RedisConnection
  private readonly events: LinkEvents
  private isReady = false
  private wasReady = false
  /** How often a connection was made. */
  private connections = 0
  private isClosed = false
  private waiting: (() => void)[] = []

  constructor(connect: Connect, events: LinkEvents) {
    this.events = events
    this.connection = connect({
      ready: () => this.ready(),
      down: (error) => this.down(error),
    })
  }

  /** Rejects with GNATMQ_STORE_FAILED when the server cannot be reached. */
  async open(): Promise<void> {
    try {
      await this.connection.open()
    } catch (error) {
      this.close()
      throw unreachable(error)
    }
  }

  get isReachable(): boolean {
    return this.isReady
  }

  close(): void {
    if (this.isClosed) return
    this.isClosed = true
    this.connection.close()
    this.wake()
  }

  /** A command that may be done twice. */
  command(...args: Argument[]): Promise<Reply> {
    return this.persist(() => this.connection.call(args))
  }

  /** A script that may be run twice, or that knows when it was run before. */
  run(script: Script, keys: readonly Argument[], args: readonly Argument[]): Promise<Reply> {
    return this.persist(() => this.evaluate(script, keys, args))
  }

  /**
   * A script that writes, and then waits until so many replicas have what it has written. It is run again until they have, so it has to
   * know when it was run before.
   */
  async runReplicated(
    script: Script,
    keys: readonly Argument[],
    args: readonly Argument[],
    replicas: number,
  ): Promise<Reply> {
    for (;;) {
      const reply = await this.run(script, keys, args)
      if (replicas === 0 || (await this.isReplicated(replicas))) return reply
    }
  }

  /** What is asked is about the writes of this connection: a new one has made none. */
  private async isReplicated(replicas: number): Promise<boolean> {
    const { connections } = this
    try {
      const reached = await this.connection.call(['WAIT', String(replicas), String(REPLICA_WAIT_MS)])
      return numberOf(reached) >= replicas && connections === this.connections
    } catch (error) {
      if (!isUnavailable(error)) throw refused(error)
      return false
    }
  }

  subscribe(channel: string, listener: (message: Buffer) => void): Promise<void> {
    return this.connection.subscribe(channel, listener)
  }

  /** A command whose answer is not awaited and that may be lost. */
  post(...args: Argument[]): void {
    this.connection.call(args).catch(() => undefined)
  }

  private async evaluate(script: Script, keys: readonly Argument[], args: readonly Argument[]): Promise<Reply> {
    const rest = [String(keys.length), ...keys, ...args]
    try {
      return await this.connection.call(['EVALSHA', script.sha, ...rest])
    } catch (error) {
      if (serverWord(error) !== 'NOSCRIPT') throw error
      return await this.connection.call(['EVAL', script.source, ...rest])
    }
  }

  private async persist(attempt: () => Promise<Reply>): Promise<Reply> {
    for (;;) {
      if (this.isClosed) throw closed()
      try {
        return await attempt()
      } catch (error) {
        if (this.isClosed) throw closed()
        if (!isUnavailable(error)) throw refused(error)
      }
      await this.pause()
    }
  }

  /** Until the server is there again, and a moment at least. */
  private pause(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        if (this.isReady || this.isClosed) resolve()
        else this.waiting.push(resolve)
      }, PAUSE_MS)
      timer.unref()
    })
  }

  private ready(): void {
    const { isReady, wasReady } = this
    this.isReady = true
    this.wasReady = true
    this.connections++
    this.wake()
    if (wasReady && !isReady) this.events.available()
  }

  private down(error: Error): void {
    if (!this.isReady || this.isClosed) return
    this.isReady = false
    this.events.unavailable(error)
  }

  private wake(): void {
    const { waiting } = this
    this.waiting = []
    for (const resolve of waiting) resolve()
  }
}
