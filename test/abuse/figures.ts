/** True where `ROWS=1` asks for the figures themselves, by hand and on a quiet machine. */
export const isMeasured = process.env['ROWS'] !== undefined

/**
 * The milliseconds that an attack may cost others: the figure itself where it is measured. Beside other tests on the same cores `busy` times
 * as long, which still is a fraction of what the attack cost before it was bounded.
 */
export function mayTake(ms: number, busy: number): number {
  return isMeasured ? ms : ms * busy
}
