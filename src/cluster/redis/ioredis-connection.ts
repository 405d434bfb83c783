import { type ConnectionEvents, firstOutcome, type RedisConnection, reconnectDelay } from './connection'
import type { Argument, Reply } from './reply'

/** What is used of a client of ioredis or iovalkey. */
export interface IoRedisClient {
  duplicate(options: object): IoRedisClient
  connect(): Promise<void>
  disconnect(): void
  callBuffer(command: string, ...args: Argument[]): Promise<Reply>
  subscribe(channel: string): Promise<unknown>
  on(event: string, listener: (...values: never[]) => void): unknown
}

export class IoRedisConnection implements RedisConnection {
  private readonly client: IoRedisClient
  private lastError = new Error('the connection was closed')

  constructor(client: IoRedisClient, events: ConnectionEvents) {
    this.client = client.duplicate({
      lazyConnect: true,
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      enableAutoPipelining: false,
      // what was sent when the connection broke is rejected, and not forgotten
      maxRetriesPerRequest: 0,
      autoResubscribe: true,
      // a read that waits for news is silent for seconds
      commandTimeout: undefined,
      socketTimeout: undefined,
      blockingTimeout: undefined,
      readOnly: false,
      reconnectOnError: null,
      retryStrategy: reconnectDelay,
      keyPrefix: '',
      stringNumbers: false,
      protocol: 2,
      replyMapping: 'legacy',
    })
    this.client.on('ready', () => events.ready())
    this.client.on('error', (error: Error) => {
      this.lastError = error
    })
    this.client.on('close', () => events.down(this.lastError))
  }

  async open(): Promise<void> {
    await firstOutcome(this.client, () => this.client.connect())
  }

  call([command, ...args]: readonly Argument[]): Promise<Reply> {
    return this.client.callBuffer(String(command), ...args)
  }

  async subscribe(channel: string, listener: (message: Buffer) => void): Promise<void> {
    this.client.on('messageBuffer', (from: Buffer, message: Buffer) => {
      if (from.toString() === channel) listener(message)
    })
    await this.client.subscribe(channel)
  }

  close(): void {
    this.client.disconnect()
  }
}
