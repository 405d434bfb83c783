import type { Argument, Reply } from './reply'

/** Told by a connection. */
export interface ConnectionEvents {
  /** It can be used, for the first time or again. */
  ready(): void
  /** It is lost, and being made again. */
  down(error: Error): void
}

/** One connection to a server, which connects again by itself and keeps nothing for later: a call that cannot be sent is rejected. */
export interface RedisConnection {
  /** Connects. Rejects with what the first attempt has failed with. */
  open(): Promise<void>
  /** One command. The bytes of the answer are buffers. */
  call(args: readonly Argument[]): Promise<Reply>
  /** Hears what is published to a channel, also after the connection was made again. */
  subscribe(channel: string, listener: (message: Buffer) => void): Promise<void>
  close(): void
}

/** Milliseconds before the next attempt to connect. */
export const reconnectDelay = (attempts: number): number => Math.min(50 * Math.max(attempts, 1), 1000)

/** Settles with the first of what a client emits while it connects. */
export function firstOutcome(
  client: { on(event: string, listener: (value?: unknown) => void): unknown },
  connect: () => Promise<unknown>,
): Promise<void> {
  return new Promise((resolve, reject) => {
    client.on('ready', () => resolve())
    client.on('error', reject)
    client.on('close', () => reject(new Error('the connection was closed')))
    connect().then(() => resolve(), reject)
  })
}
