import { availableParallelism } from 'node:os'
import type { Client } from '../ports/client'
import { addressKey } from '../ports/remote-address'
import { TurnQueue } from '../ports/turn-queue'

/** On whose behalf something is hashed. */
type Asker = Pick<Client, 'remoteAddress' | 'signal'> | undefined

/**
 * Hashes passwords, one at a time on a small machine and two on others: hashing takes threads of a pool of four that files, names and the
 * commits of a store need as well. The others wait, and addresses take turns; of one address the newest comes first, for the
 * client of an old one has more likely given up.
 */
export class HashQueue {
  /** For all password files, as the pool is that of the process. */
  static readonly ofProcess = new HashQueue()
  private readonly waiting = new TurnQueue<() => void>('newest first')
  private readonly maximum: number
  private running = 0

  constructor(maximum = availableParallelism() > 2 ? 2 : 1) {
    this.maximum = maximum
  }

  /** What `hash` answers, once it is its turn; undefined if the asker goes before that. */
  async run<T>(asker: Asker, hash: () => Promise<T>): Promise<T | undefined> {
    if (this.running >= this.maximum && !(await this.turn(asker))) return undefined
    this.running++
    try {
      return await hash()
    } finally {
      this.running--
      this.waiting.next()?.value()
    }
  }

  /** False if the asker has gone before it. */
  private turn(asker: Asker): Promise<boolean> {
    const signal = asker?.signal
    if (signal?.aborted === true) return Promise.resolve(false)
    return new Promise((resolve) => {
      const gone = (): void => {
        if (leave()) resolve(false)
      }
      const leave = this.waiting.add(addressKey(asker?.remoteAddress) ?? '', () => {
        signal?.removeEventListener('abort', gone)
        resolve(true)
      })
      signal?.addEventListener('abort', gone, { once: true })
    })
  }
}
