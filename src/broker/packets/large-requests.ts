import { SubscribeReader, subscriptionReader, type UnsubscribeReader } from '../../protocol/codec'
import type { Frame } from '../../protocol/frame'
import type { Connection } from '../wire/connection'
import { inSlices, type Steps } from '../wire/sliced-work'
import type { Turn } from '../wire/turn'
import type { SubscribeReceiver } from './subscribe'
import type { UnsubscribeReceiver } from './unsubscribe'

/** Receives a SUBSCRIBE or an UNSUBSCRIBE with so many filters that others have their turn in between. */
export class LargeRequests {
  private readonly turn: Turn
  private readonly subscribe: SubscribeReceiver
  private readonly unsubscribe: UnsubscribeReceiver

  constructor(turn: Turn, subscribe: SubscribeReceiver, unsubscribe: UnsubscribeReceiver) {
    this.turn = turn
    this.subscribe = subscribe
    this.unsubscribe = unsubscribe
  }

  /** The packet is read where it lies in `bytes`, or in a copy. What comes behind it waits. */
  receive(connection: Connection, bytes: Buffer, { first, body, end }: Frame): void {
    const { pool, chunkStable, rota } = this.turn
    const size = end - body
    // the read buffer is overwritten before all is read
    const own = chunkStable ? bytes : Buffer.from(bytes.subarray(body, end))
    const start = chunkStable ? body : 0
    const reader = subscriptionReader(first, own, start, start + size, connection.version)
    pool.incomingBytes += size
    const done = inSlices(rota, this.steps(connection, reader)).finally(() => {
      pool.incomingBytes -= size
    })
    connection.parkUntil(done, (finish) => finish())
  }

  private steps(connection: Connection, reader: SubscribeReader | UnsubscribeReader): Steps<() => void> {
    if (reader instanceof SubscribeReader) return this.subscribe.steps(connection, reader)
    return this.unsubscribe.steps(connection, reader)
  }
}
