/** Powers of two that a size may reach. */
const CLASSES = 54

/**
 * Queues of absent clients by how much they hold, to a power of two. So one of the largest is found without a look at the
 * others, and what comes and goes moves a queue only when its size has doubled or halved.
 */
export class AbsentQueues<Account> {
  private readonly classes: Set<Account>[] = Array.from({ length: CLASSES }, () => new Set<Account>())

  /** Puts a queue from one class into another; -1 is none. */
  move(account: Account, from: number, to: number): void {
    if (from >= 0) this.classes[from]!.delete(account)
    if (to >= 0) this.classes[to]!.add(account)
  }

  /** One of the largest, of those of its class the one that has been in it longest. */
  largest(): Account | undefined {
    for (let n = CLASSES - 1; n >= 0; n--) for (const account of this.classes[n]!) return account
    return undefined
  }

  clear(): void {
    for (const accounts of this.classes) accounts.clear()
  }
}

/** The class of a size; -1 for nothing. */
export function sizeClass(size: number): number {
  if (size < 1) return -1
  return size < 0x8000_0000 ? 31 - Math.clz32(size) : Math.min(CLASSES - 1, Math.floor(Math.log2(size)))
}
