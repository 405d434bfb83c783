import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'

/** Wrong passwords that are remembered. */
const WRONG = 4096

/**
 * Passwords that were computed before: the last right one of each user, and the latest wrong ones. So a client that comes back does not
 * wait behind those that guess, and the same wrong password costs one computation. What is kept of a password is its HMAC with a key
 * of this object, which is as secret as the memory of the process.
 */
export class KnownPasswords {
  private readonly key = randomBytes(32)
  private readonly right = new Map<string, Buffer>()
  private readonly wrong = new Set<string>()

  /** What stands for a user name with a password. */
  markOf(username: string, password: Uint8Array): Buffer {
    const name = Buffer.from(username)
    const length = Buffer.alloc(4)
    length.writeUInt32BE(name.length)
    return createHmac('sha256', this.key).update(length).update(name).update(password).digest()
  }

  /** Whether the password is right; undefined if it is not known. */
  answer(username: string, mark: Buffer): boolean | undefined {
    const right = this.right.get(username)
    if (right !== undefined && timingSafeEqual(right, mark)) return true
    return this.wrong.has(mark.toString('base64')) ? false : undefined
  }

  add(username: string, mark: Buffer, isRight: boolean): void {
    if (isRight) {
      this.right.set(username, mark)
      return
    }
    this.wrong.add(mark.toString('base64'))
    if (this.wrong.size <= WRONG) return
    const [oldest] = this.wrong
    this.wrong.delete(oldest!)
  }
}
