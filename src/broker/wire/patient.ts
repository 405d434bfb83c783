import type { Worker } from './rota'
import type { Turn } from './turn'

/** Turns for which all that comes waits from the beginning, after a slice that was too short. */
const HEAVY_TURNS = 2

/** What is read of a client whose packets are not walked. */
export const Reading = {
  /** Nothing: the channel is paused. */
  Usual: 0,
  /** Up to the first bytes that come. */
  UntilMore: 1,
  /** As far as there is room, so that a sign of life is seen, or the end. */
  Listening: 2,
} as const

export type Reading = (typeof Reading)[keyof typeof Reading]

/**
 * What a connection waits for before it walks on: a hook or the store that has not answered yet, and the others, where it has
 * needed more than a slice.
 */
export abstract class Patient implements Worker {
  protected parkCount = 0
  /** What has come waits until others have had their turn. */
  protected postponed = false
  private heavyTurns = 0
  protected readonly turn: Turn

  constructor(turn: Turn) {
    this.turn = turn
  }

  abstract readonly closing: boolean
  /** Walks what has gathered, and reads on. */
  protected abstract goOn(): void
  /** It has waited: the time is asked for anew. */
  protected abstract resumed(): void
  protected abstract pause(): void
  /** To pause and to resume costs system calls: it does so where more comes meanwhile. */
  protected abstract pauseWithMore(): void
  /** Ends the connection because of an error. */
  abstract fail(cause: unknown): void

  /** True while nothing of what has come can be walked. */
  get waits(): boolean {
    return this.parkCount > 0 || this.postponed
  }

  /** Whether all that comes waits for its turn, since it was more than a slice before. */
  protected get isHeavy(): boolean {
    return this.heavyTurns > 0
  }

  /** Later packets of this client wait until `unpark`: a hook or the store has not answered yet. */
  park(): void {
    if (this.parkCount++ === 0) this.pause()
  }

  /** The same for a wait that is over within the turn as a rule: reading goes on until more comes. */
  parkUntilMore(): void {
    if (this.parkCount++ === 0) this.pauseWithMore()
  }

  unpark(): void {
    if (--this.parkCount > 0 || this.closing) return
    this.resumed()
    if (!this.postponed) this.goOn()
  }

  /**
   * Parks the connection until `answer` has come and `then` has run. `then` is not called for a connection that is closing;
   * what it throws, and a rejection, ends the connection.
   */
  parkUntil<T>(answer: PromiseLike<T>, then: (answer: T) => void): void {
    this.park()
    this.unparkAfter(answer, then)
  }

  /** The same for a connection that is parked already. */
  unparkAfter<T>(answer: PromiseLike<T>, then?: (answer: T) => void): void {
    const failed = (error: unknown): void => {
      this.fail(error)
      this.unpark()
    }
    answer.then((value) => {
      try {
        if (!this.closing) then?.(value)
      } catch (error) {
        this.fail(error)
      }
      this.unpark()
    }, failed)
  }

  /** The slice is over, and more has come. What was marked from `marked` on is written with what the rest brings about. */
  protected interrupt(marked: number): void {
    this.turn.hold(marked)
    this.pause()
    this.heavyTurns = HEAVY_TURNS
    this.postpone()
  }

  protected postpone(): void {
    if (this.postponed || this.closing) return
    this.postponed = true
    this.turn.rota.add(this)
  }

  /** Other connections have had their turn: walks on. */
  takeTurn(): void {
    this.postponed = false
    if (this.heavyTurns > 0) this.heavyTurns--
    if (this.parkCount > 0 || this.closing) return
    this.resumed()
    this.goOn()
  }
}
