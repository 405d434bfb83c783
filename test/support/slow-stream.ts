import { Duplex } from 'node:stream'

/**
 * A stream that takes a write only when the test says so, and looks at its bytes only then: whoever has used the buffer
 * for something else in between is found out.
 */
export class SlowStream extends Duplex {
  /** Takes every write at once, as a kernel with room does. */
  eager: boolean
  private readonly pieces: Buffer[] = []
  private underWay: { chunk: Buffer; done: () => void } | null = null

  constructor(eager = false) {
    super({ read: () => undefined })
    this.eager = eager
  }

  /** All bytes that were taken. */
  get taken(): Buffer {
    return Buffer.concat(this.pieces)
  }

  /** How many writes were taken. */
  get writes(): number {
    return this.pieces.length
  }

  /** Takes the write that is under way; false if there is none. */
  accept(): boolean {
    if (this.underWay === null) return false
    const { chunk, done } = this.underWay
    this.underWay = null
    this.pieces.push(Buffer.from(chunk))
    done()
    return true
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.underWay = { chunk, done }
    if (this.eager) this.accept()
  }
}

/** Lets callbacks and immediates run. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
