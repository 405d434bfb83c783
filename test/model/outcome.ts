/** A PUBLISH as a client gets it, or should. */
export interface Received {
  topic: string
  payload: string
  qos: number
  retain: boolean
  dup: boolean
  /** In ascending order. */
  identifiers: number[]
  /** Seconds that its Message Expiry Interval has left. An observation is a whole number; undefined if it has none. */
  expiry: number | undefined
}

/** A PUBLISH that must arrive. */
export interface Due extends Received {
  /** Messages of one line arrive in the order of this list: one publisher, topic and QoS (section 4.6). */
  line: string
}

/** All that one connection gets during a step. */
export interface Outcome<P extends Received> {
  publishes: P[]
  /** Every other packet, the payload of each PUBREL's message, and `closed`: as text. */
  others: string[]
}

/** By connection: `c1#2` is the second of c1. */
export type Outcomes<P extends Received> = Map<string, Outcome<P>>

export function outcomeOf<P extends Received>(outcomes: Outcomes<P>, connection: string): Outcome<P> {
  let outcome = outcomes.get(connection)
  if (outcome === undefined) outcomes.set(connection, (outcome = { publishes: [], others: [] }))
  return outcome
}

/** Where an observation differs from what must happen; empty if nowhere. */
export function differences(due: Outcomes<Due>, observed: Outcomes<Received>): string[] {
  const lines: string[] = []
  const nothing = { publishes: [], others: [] }
  for (const connection of new Set([...due.keys(), ...observed.keys()])) {
    for (const line of compare(due.get(connection) ?? nothing, observed.get(connection) ?? nothing))
      lines.push(`${connection} ${line}`)
  }
  return lines
}

function compare(due: Outcome<Due>, observed: Outcome<Received>): string[] {
  const lines: string[] = []
  const missing = [...due.others]
  for (const other of observed.others) {
    const at = missing.indexOf(other)
    if (at < 0) lines.push(`got ${other}, which it must not`)
    else missing.splice(at, 1)
  }
  for (const other of missing) lines.push(`did not get ${other}`)
  const wanted = [...due.publishes]
  const order = new Map<string, Due[]>()
  for (const received of observed.publishes) {
    // of several that are alike, the first: it stands first in its line
    const at = wanted.findIndex((publish) => isSame(publish, received))
    if (at < 0) {
      lines.push(`got ${describeReceived(received)}, which it must not`)
      continue
    }
    const [publish] = wanted.splice(at, 1)
    const line = order.get(publish!.line)
    if (line === undefined) order.set(publish!.line, [publish!])
    else line.push(publish!)
  }
  for (const publish of wanted) lines.push(`did not get ${describeReceived(publish)}`)
  if (lines.length === 0) lines.push(...orderErrors(due.publishes, order))
  return lines
}

function orderErrors(due: readonly Due[], order: ReadonlyMap<string, Due[]>): string[] {
  const errors: string[] = []
  for (const [line, got] of order) {
    const wanted = due.filter((publish) => publish.line === line)
    const same = wanted.every((publish, i) => publish.payload === got[i]?.payload)
    const text = (publishes: readonly Due[]): string => publishes.map(({ payload }) => payload.slice(0, 8)).join(' ')
    if (!same) errors.push(`got ${text(got)} in this order, and must get ${text(wanted)}`)
  }
  return errors
}

function isSame(due: Due, received: Received): boolean {
  return (
    due.payload === received.payload &&
    due.topic === received.topic &&
    due.qos === received.qos &&
    due.retain === received.retain &&
    due.dup === received.dup &&
    due.identifiers.join() === received.identifiers.join() &&
    isSameExpiry(due.expiry, received.expiry)
  )
}

/** Seconds are sent whole: either way of rounding will do. */
function isSameExpiry(due: number | undefined, received: number | undefined): boolean {
  if (due === undefined || received === undefined) return due === received
  return received >= 0 && Math.abs(received - due) < 1
}

export function describeReceived({ topic, payload, qos, retain, dup, identifiers, expiry }: Received): string {
  const flags = `${dup ? ' dup' : ''}${retain ? ' retain' : ''}`
  const properties = `${identifiers.length > 0 ? ` identifiers ${identifiers.join()}` : ''}${expiry === undefined ? '' : ` expiry ${expiry}`}`
  return `PUBLISH ${topic} "${payload.slice(0, 20)}" QoS ${qos}${flags}${properties}`
}
