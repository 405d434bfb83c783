/**
 * Counts what is done for a client, in units of about a tenth of a microsecond to one: a packet, a filter that is matched, a receiver. Whoever
 * does it for long looks at the clock after so many units, and not for each of them.
 */
export class Effort {
  units = 0
}
