import type { InboxFrame } from '../../ports/cluster'

/** Frames that wait for one node. Positions are numbers, padded so that they sort as strings. */
export class Inbox {
  private readonly frames = new Map<string, InboxFrame>()
  private last = 0

  add(origin: number, routedAt: number, bytes: Uint8Array): void {
    const position = String(++this.last).padStart(16, '0')
    this.frames.set(position, { position, origin, routedAt, bytes: Buffer.from(bytes) })
  }

  take(position: string): void {
    this.frames.delete(position)
  }

  get size(): number {
    return this.frames.size
  }

  /** The last position that was given, '' if none. */
  get end(): string {
    return this.last === 0 ? '' : String(this.last).padStart(16, '0')
  }

  after(position: string, limitBytes: number): InboxFrame[] {
    const page: InboxFrame[] = []
    let bytes = 0
    for (const frame of this.frames.values()) {
      if (frame.position <= position) continue
      bytes += frame.bytes.length
      if (bytes > limitBytes && page.length > 0) break
      page.push(frame)
    }
    return page
  }
}
