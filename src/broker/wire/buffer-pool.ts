const SMALL = 4096
const LARGE = 64 * 1024

/** Buffers that go round: a small one for most turns of most connections, a large one for the busy. */
export class BufferPool {
  static readonly small = SMALL
  static readonly large = LARGE
  /** Bytes that packets which have not arrived whole take up, and how many may. */
  incomingBytes = 0
  readonly maximumIncomingBytes: number
  private readonly smallOnes: Buffer[] = []
  private readonly largeOnes: Buffer[] = []

  constructor(maximumIncomingBytes = Number.POSITIVE_INFINITY) {
    this.maximumIncomingBytes = maximumIncomingBytes
  }

  /** A buffer of at least `n` bytes. One above the large size is made for the purpose and not pooled. */
  take(n: number): Buffer {
    if (n <= SMALL) return this.smallOnes.pop() ?? Buffer.allocUnsafeSlow(SMALL)
    if (n <= LARGE) return this.largeOnes.pop() ?? Buffer.allocUnsafeSlow(LARGE)
    return Buffer.allocUnsafeSlow(n)
  }

  /** Takes back a buffer of `take`, which must not be used any more. */
  give(buffer: Buffer): void {
    if (buffer.length === SMALL) {
      if (this.smallOnes.length < 4096) this.smallOnes.push(buffer)
    } else if (buffer.length === LARGE && this.largeOnes.length < 256) this.largeOnes.push(buffer)
  }
}
