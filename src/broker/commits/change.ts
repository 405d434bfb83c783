import type { Change } from '../../ports/store'

/** A change of one step: the store gets it as it is, and it takes itself back in memory when the store refuses it. */
export type JournaledChange = Change & Undoable

/**
 * What a change knows besides what the store is told. It lies in private fields: a store may copy a change, or send it
 * to another thread, and must not find a session in it.
 */
export abstract class Undoable {
  /** The store answers later. */
  begin(): void {}

  /** The store has kept it. */
  keep(): void {}

  /**
   * The store has refused it: memory is to be as if it had not happened. True if it only forgets something that is not
   * to come back: then it is tried again.
   */
  abstract undo(): boolean

  /** Whether it is still to be done when it is tried again: it must not take away what came later. */
  get isDue(): boolean {
    return true
  }

  /** True while it has to wait for something else before it can be tried again. */
  get isBlocked(): boolean {
    return false
  }

  /** What is tried again: itself, as a rule. It may add to the same commit. */
  again(): JournaledChange {
    return this as unknown as JournaledChange
  }

  /** What makes it undone in a store that has kept it, although the broker has refused its step. */
  inverse(): JournaledChange | undefined {
    return undefined
  }
}
