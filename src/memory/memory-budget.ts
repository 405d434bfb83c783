/** A part of the memory that clients can make the broker use, and what is used of it. Bytes, as `Cost` counts them. */
export class Budget {
  used = 0
  readonly maximum: number
  /** What one client may have of it. */
  readonly share: number

  constructor(maximum = Number.POSITIVE_INFINITY, share = maximum) {
    this.maximum = maximum
    this.share = share
  }

  /** Whether `bytes` more may be used, by a client that has `held` of it. */
  admits(bytes: number, held: number): boolean {
    return this.used + bytes <= this.maximum && held + bytes <= this.share
  }

  /** Counts what came, or with a negative number what went. */
  add(bytes: number): void {
    this.used += bytes
  }

  reset(): void {
    this.used = 0
  }
}

/**
 * The budgets, each in percent of the memory, and what part of it one client may have. What is left of the memory is for the program, for
 * garbage, and for what a connection takes besides.
 */
const parts = {
  retained: { percent: 20, share: 0.75 },
  queues: { percent: 16, share: 0.125 },
  subscriptions: { percent: 11, share: 0.75 },
  sessions: { percent: 6, share: 5 / 6 },
  wills: { percent: 2, share: 0.125 },
  aliases: { percent: 2, share: 1 / 64 },
  outgoing: { percent: 7, share: 0.25 },
  incoming: { percent: 5, share: 0.25 },
  routes: { percent: 2, share: 1 },
} as const

export type BudgetName = keyof typeof parts

/** The budgets of one broker. */
export type MemoryBudget = Readonly<Record<BudgetName, Budget>>

/** Divides `memory` bytes. `least` has the budgets that an option of their own widens. */
export function divideMemory(
  memory: number,
  least: Partial<Record<BudgetName, number | undefined>> = {},
): MemoryBudget {
  const budget = (name: BudgetName): Budget => {
    const given = least[name] ?? 0
    const maximum = Math.max(partOf(memory, name), given)
    return new Budget(maximum, Math.max(Math.floor(maximum * parts[name].share), given))
  }
  return {
    retained: budget('retained'),
    queues: budget('queues'),
    subscriptions: budget('subscriptions'),
    sessions: budget('sessions'),
    wills: budget('wills'),
    aliases: budget('aliases'),
    outgoing: budget('outgoing'),
    incoming: budget('incoming'),
    routes: budget('routes'),
  }
}

/** What a budget gets of `memory` bytes where no option widens it. */
export function partOf(memory: number, name: BudgetName): number {
  return Math.floor((memory * parts[name].percent) / 100)
}

/** What is used of all budgets. */
export function usedMemory(memory: MemoryBudget): number {
  let used = 0
  for (const budget of Object.values(memory)) used += budget.used
  return used
}
