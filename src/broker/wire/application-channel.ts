import { Duplex } from 'node:stream'
import type { Channel, Peer } from '../../ports/listener'

type Done = (error?: Error | null) => void

/** The application's own end of a connection to its broker. */
export interface ApplicationEnd {
  /** `bytes` belong to the callee. */
  receive(bytes: Buffer): void
  closed(): void
}

/** A connection of the application's own: the only one that may have a Client Identifier of the application. */
export class ApplicationChannel implements Channel {
  readonly stream: Duplex
  readonly peer: Peer = { remoteAddress: undefined, remotePort: undefined }
  readonly acceptedAt: number
  /** They are copied at once. */
  readonly releasesWrites = true

  constructor(end: ApplicationEnd, acceptedAt: number) {
    this.stream = new ApplicationStream(end)
    this.acceptedAt = acceptedAt
  }

  read(onBytes: (bytes: Buffer, length: number) => void): void {
    this.stream.on('data', (chunk: Buffer) => onBytes(chunk, chunk.length))
  }

  pause(): void {
    this.stream.pause()
  }

  resume(): void {
    this.stream.resume()
  }
}

class ApplicationStream extends Duplex {
  readonly #end: ApplicationEnd

  constructor(end: ApplicationEnd) {
    super({ allowHalfOpen: true })
    this.#end = end
  }

  override _read(): void {
    // bytes are pushed as they come
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    this.#give(Buffer.from(chunk), done)
  }

  override _writev(chunks: { chunk: Buffer }[], done: Done): void {
    this.#give(Buffer.concat(chunks.map(({ chunk }) => chunk)), done)
  }

  /** A tick later: what a handler does must not run within the turn that writes. */
  #give(bytes: Buffer, done: Done): void {
    process.nextTick(() => {
      if (!this.destroyed) this.#end.receive(bytes)
      done()
    })
  }

  override _final(done: Done): void {
    if (!this.readableEnded) this.push(null)
    done()
  }

  override _destroy(error: Error | null, done: Done): void {
    done(error)
    process.nextTick(() => this.#end.closed())
  }
}
