import { SimulatedClock } from '../../src/testing/simulated-clock'

/** A simulated clock whose wall time can be set, as that of a machine can. */
export class JumpingClock extends SimulatedClock {
  private offset = 0

  override wallTime(): number {
    return super.wallTime() + this.offset
  }

  /** Sets the wall clock forward, or back. */
  jump(ms: number): void {
    this.offset += ms
  }
}
