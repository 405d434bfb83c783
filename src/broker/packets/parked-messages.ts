import { bytesCost, Cost } from '../../memory/cost'
import type { Message } from '../../protocol/message'
import { MqttError } from '../../protocol/mqtt-error'
import { BufferPool } from '../wire/buffer-pool'

/** Messages that wait for a hook, or for their turn: they count as what has not arrived whole. */
export class ParkedMessages {
  private readonly pool: BufferPool

  constructor(pool: BufferPool) {
    this.pool = pool
  }

  /** Throws GNATMQ_QUOTA_EXCEEDED for a message above 64 KiB that there is no room for. */
  check(message: Message): void {
    const bytes = parkedBytes(message)
    const { incomingBytes, maximumIncomingBytes } = this.pool
    if (message.bytes.length <= BufferPool.large || incomingBytes + bytes <= maximumIncomingBytes) return
    const text = 'too much waits for an answer of the application or for its turn: send smaller messages, or later'
    throw new MqttError('GNATMQ_QUOTA_EXCEEDED', text)
  }

  /** The same; and counts the message until `answer` has come. */
  admit(message: Message, answer: PromiseLike<unknown>): void {
    this.check(message)
    this.count(message, answer)
  }

  /** Counts the message until `answer` has come. */
  count(message: Message, answer: PromiseLike<unknown>): void {
    const bytes = parkedBytes(message)
    this.pool.incomingBytes += bytes
    const release = (): void => {
      this.pool.incomingBytes -= bytes
    }
    answer.then(release, release)
  }
}

function parkedBytes({ bytes }: Message): number {
  return Cost.queuedMessage + bytesCost(bytes.length)
}
