import { Duplex } from 'node:stream'
import type { Channel, Listener, ListenerAddress, ListenerContext } from '../../src/ports/listener'

/** A client whose chunks the test cuts itself: what it feeds arrives in just these pieces, at once. */
export class HandFedClient {
  /** Everything that the broker has written. */
  output: Buffer = Buffer.alloc(0)
  readonly ended: Promise<void>
  private onBytes: (bytes: Buffer, length: number) => void = () => undefined
  private readonly chunk = Buffer.alloc(64 * 1024)

  constructor(context: ListenerContext) {
    let end: () => void = () => undefined
    this.ended = new Promise((resolve) => (end = resolve))
    const stream = new Duplex({
      read: () => undefined,
      write: (bytes: Buffer, _encoding, done) => {
        this.output = Buffer.concat([this.output, bytes])
        done()
      },
      final: (done) => {
        done()
        end()
        stream.push(null)
        stream.resume()
      },
    })
    const channel: Channel = {
      stream,
      peer: { remoteAddress: undefined, remotePort: undefined },
      acceptedAt: context.clock.now(),
      releasesWrites: true,
      read: (onBytes) => {
        this.onBytes = onBytes
      },
      pause: () => undefined,
      resume: () => undefined,
    }
    context.accept(channel)
  }

  /** The buffer is overwritten when the broker has looked at it, as that of a socket is. */
  feed(bytes: Uint8Array): void {
    this.chunk.set(bytes)
    this.onBytes(this.chunk, bytes.length)
    this.chunk.fill(0xee, 0, bytes.length)
  }
}

/** Brings hand-fed clients to a broker. */
export class HandFedListener implements Listener {
  readonly exposure = 'local'
  readonly host = undefined
  private context: ListenerContext | undefined

  async listen(context: ListenerContext): Promise<ListenerAddress> {
    this.context = context
    return { protocol: 'hand-fed', host: '', port: 0 }
  }

  async close(): Promise<void> {}

  connect(): HandFedClient {
    if (this.context === undefined) throw new Error('the broker has not started')
    return new HandFedClient(this.context)
  }
}
