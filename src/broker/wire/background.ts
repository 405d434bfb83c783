import type { Worker } from './rota'
import type { Slice } from './slice'

/** Milliseconds between two slices: at most a quarter of a core goes to what is done here, for all clients together. */
const PAUSE_MS = 3

/**
 * Work that only its own client waits for, and that may be long: the rights of many subscriptions are asked for again, those of a session that
 * has ended are removed. One slice at a time, the next after a pause, each in its turn.
 */
export class Background {
  private waiting: Worker[] = []
  private isScheduled = false
  private isStopped = false
  /** Slices that were given. */
  slices = 0
  private readonly slice: Slice

  constructor(slice: Slice) {
    this.slice = slice
  }

  /** How many wait. */
  get length(): number {
    return this.waiting.length
  }

  /** It must not wait already, and adds itself anew if there is more after its slice. */
  add(worker: Worker): void {
    if (this.isStopped) return
    this.waiting.push(worker)
    this.schedule()
  }

  /** Resolves with the beginning of a slice: for what waits in an async function. Never once the broker has stopped. */
  turn(): Promise<void> {
    return new Promise((resolve) => this.add({ takeTurn: resolve }))
  }

  /** The broker has stopped: what is left is left undone. */
  stop(): void {
    this.isStopped = true
    this.waiting = []
  }

  private schedule(): void {
    if (this.isScheduled || this.waiting.length === 0) return
    this.isScheduled = true
    setTimeout(() => {
      this.isScheduled = false
      this.slice.begin()
      this.waiting.shift()?.takeTurn()
      this.schedule()
    }, PAUSE_MS)
  }
}
