import { endianness } from 'node:os'

/** Payloads up to this length are moved by their words: a call of copyWithin takes longer. */
const SHORT = 512

/** The mask, whose first byte is its lowest, for a payload that goes on after `count` bytes. */
export function rotated(mask: number, count: number): number {
  const bits = (count & 3) << 3
  return bits === 0 ? mask : (mask >>> bits) | (mask << (32 - bits))
}

/**
 * Takes the mask off payloads (RFC 6455 section 5.3), four bytes at a time. One serves for all connections of a listener: it keeps
 * the views of the buffer that it saw last, and most reads of a listener go into the same one.
 */
export class Unmasking {
  private readonly isLittleEndian = endianness() === 'LE'
  private view: DataView = new DataView(new ArrayBuffer(0))
  private words: Int32Array = new Int32Array(0)

  /** Moves `bytes[from, to)` to `at`, which is not behind `from`, without its mask, whose first byte is its lowest. */
  move(bytes: Buffer, from: number, to: number, at: number, mask: number): void {
    if (mask === 0) {
      if (at !== from) bytes.copyWithin(at, from, to)
      return
    }
    if (to - from < 16) {
      moveBytes(bytes, from, to, at, mask)
      return
    }
    if (this.view.buffer !== bytes.buffer) this.look(bytes.buffer as ArrayBuffer)
    if (at === from) this.unmask(bytes, from, to, mask)
    else if (to - from < SHORT) this.moveWords(bytes, from, to, at, mask)
    else {
      bytes.copyWithin(at, from, to)
      this.unmask(bytes, at, at + to - from, mask)
    }
  }

  private look(buffer: ArrayBuffer): void {
    this.view = new DataView(buffer)
    this.words = new Int32Array(buffer, 0, buffer.byteLength >> 2)
  }

  private moveWords(bytes: Buffer, from: number, to: number, at: number, mask: number): void {
    const { view } = this
    const start = bytes.byteOffset
    let i = start + from
    let j = start + at
    const last = start + to - 4
    for (; i <= last; i += 4, j += 4) view.setInt32(j, view.getInt32(i, true) ^ mask, true)
    moveBytes(bytes, i - start, to, j - start, mask)
  }

  /** Where it lies: the whole words of the buffer at once, and the bytes before and behind them. */
  private unmask(bytes: Buffer, from: number, to: number, mask: number): void {
    const start = bytes.byteOffset
    const first = Math.min(to, from + (-(start + from) & 3))
    moveBytes(bytes, from, first, from, mask)
    const inOrder = rotated(mask, first - from)
    const turned = this.isLittleEndian ? inOrder : swapped(inOrder)
    const { words } = this
    let word = (start + first) >> 2
    const end = (start + to) >> 2
    for (const last = end - 4; word <= last; word += 4) {
      words[word]! ^= turned
      words[word + 1]! ^= turned
      words[word + 2]! ^= turned
      words[word + 3]! ^= turned
    }
    for (; word < end; word++) words[word]! ^= turned
    const rest = Math.max(first, (end << 2) - start)
    moveBytes(bytes, rest, to, rest, rotated(mask, rest - from))
  }
}

function moveBytes(bytes: Buffer, from: number, to: number, at: number, mask: number): void {
  for (let i = from; i < to; i++) {
    bytes[at++] = bytes[i]! ^ mask
    mask = (mask >>> 8) | (mask << 24)
  }
}

function swapped(mask: number): number {
  return (mask >>> 24) | ((mask >>> 8) & 0xff00) | ((mask & 0xff00) << 8) | (mask << 24)
}
