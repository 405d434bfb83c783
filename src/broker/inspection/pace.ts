import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Clock } from '../../ports/clock'
import { MqttError } from '../../protocol/mqtt-error'
import { Slice } from '../wire/slice'

/** Whether the broker has stopped. */
export interface Run {
  readonly isClosed: boolean
}

/** Lets others have their turn while something long goes on. What the reader of a list does in between counts too. */
export class Pace {
  private readonly slice: Slice
  private readonly run: Run

  constructor(clock: Clock, run: Run) {
    this.slice = new Slice(clock)
    this.run = run
    this.slice.begin()
  }

  /** Adds a step of so many units; true if `othersTurn` is to be waited for. */
  isOverAfter(units: number): boolean {
    return this.slice.isOverAfter(units) || this.run.isClosed
  }

  /** Rejects with GNATMQ_NOT_RUNNING once the broker has stopped. */
  async othersTurn(): Promise<void> {
    await nextTurn()
    if (this.run.isClosed) throw new MqttError('GNATMQ_NOT_RUNNING', 'the broker has stopped')
    this.slice.begin()
  }
}
