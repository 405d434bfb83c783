/**
 * Counts what is done for a client, in units of a tenth of a microsecond to one microsecond: a packet, a filter that is matched, a receiver.
 * Long work looks at the clock after so many units, and not for each of them.
 */
export class Effort {
  units = 0
}
