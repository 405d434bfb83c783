import { type ConnectionEvents, firstOutcome, type RedisConnection, reconnectDelay } from './connection'
import type { Argument, Reply } from './reply'

/** What is used of a client of the package redis, 4 and later. */
export interface NodeRedisClient {
  readonly options?: { readonly socket?: object } | undefined
  duplicate(options: object): NodeRedisClient
  connect(): Promise<unknown>
  /** Closes at once, in version 5 and later. */
  destroy?(): void
  /** The same in version 4. */
  disconnect?(): Promise<unknown>
  sendCommand(args: readonly Argument[], options: object): Promise<Reply>
  subscribe(channel: string, listener: (message: Buffer) => void, asBuffer: true): Promise<unknown>
  on(event: string, listener: (...values: never[]) => void): unknown
}

/** Bytes as buffers: by the option of version 4, and by that of later ones, where 36 is the type of strings. */
const asBuffers = { returnBuffers: true, typeMapping: { 36: Buffer } } as const

export class NodeRedisConnection implements RedisConnection {
  private readonly client: NodeRedisClient

  constructor(client: NodeRedisClient, events: ConnectionEvents) {
    this.client = client.duplicate({
      RESP: 2,
      maintNotifications: 'disabled',
      disableOfflineQueue: true,
      commandsQueueMaxLength: undefined,
      keyPrefix: undefined,
      clientSideCache: undefined,
      commandOptions: undefined,
      legacyMode: false,
      readonly: false,
      // a read that waits for news is silent for seconds
      socket: { ...client.options?.socket, reconnectStrategy: reconnectDelay, socketTimeout: undefined },
    })
    this.client.on('ready', () => events.ready())
    this.client.on('error', (error: Error) => events.down(error))
  }

  async open(): Promise<void> {
    await firstOutcome(this.client, () => this.client.connect())
  }

  call(args: readonly Argument[]): Promise<Reply> {
    return this.client.sendCommand(args, asBuffers)
  }

  async subscribe(channel: string, listener: (message: Buffer) => void): Promise<void> {
    await this.client.subscribe(channel, listener, true)
  }

  close(): void {
    if (this.client.destroy !== undefined) {
      try {
        this.client.destroy()
      } catch {
        // it has not been open
      }
    } else void this.client.disconnect?.().catch(() => undefined)
  }
}
