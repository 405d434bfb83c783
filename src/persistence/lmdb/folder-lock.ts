import { createHash, randomUUID } from 'node:crypto'
import {
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { MqttError } from '../../protocol/mqtt-error'
import { createWhole, PRIVATE_FILE } from './private-files'

const FILE_NAME = 'gnatmq.lock'

/** The holder touches its file that often, for processes that cannot see its process. */
const BEAT_MS = 2000

/** A file that was not touched for so long has no owner, if its process cannot be seen from here. */
const SILENCE_MS = 10_000

/** A draft or a claim lives for a moment: one that is so old has been left behind. */
const LEFT_BEHIND_MS = 60_000

interface Holder {
  readonly pid: number
  /** When the process started, in the kernel's words; undefined where the system does not tell. */
  readonly startTime: string | undefined
  /** Where the process number means something: host and name space. */
  readonly place: string
}

/**
 * One process at a time in a folder. Two of them would not see what the other has in memory.
 *
 * The lock is a file that is made whole by one call. To take over from a holder that is no more, a process first makes
 * the claim on that holder's lock: a file whose name is the digest of the lock's text, so that there is one successor at
 * most. The successor then replaces the lock, also by one call. A successor that ended between the two is followed in
 * the same way, by the claim on its claim.
 */
export class FolderLock {
  private readonly path: string
  private readonly text: string
  private readonly beat: NodeJS.Timeout

  private constructor(path: string, text: string) {
    this.path = path
    this.text = text
    this.beat = setInterval(() => this.touch(), BEAT_MS)
    this.beat.unref()
  }

  /** Rejects with GNATMQ_STORE_FAILED if the folder is in use. Takes over from a process that is no more. */
  static async acquire(folder: string): Promise<FolderLock> {
    const path = join(folder, FILE_NAME)
    const text = JSON.stringify({ ...thisProcess(), token: randomUUID() })
    for (;;) {
      if (create(path, text)) return FolderLock.held(folder, path, text)
      const former = readIfThere(path)
      if (former === undefined) continue
      await refuseIfAlive(folder, path, former)
      if (await takeOver(folder, path, former, text)) return FolderLock.held(folder, path, text)
    }
  }

  private static held(folder: string, path: string, text: string): FolderLock {
    sweep(folder)
    return new FolderLock(path, text)
  }

  /** Leaves a lock alone that another process has taken over meanwhile. */
  release(): void {
    clearInterval(this.beat)
    if (readIfThere(this.path) === this.text) rmSync(this.path, { force: true })
  }

  private touch(): void {
    const now = new Date()
    try {
      if (readIfThere(this.path) === this.text) utimesSync(this.path, now, now)
    } catch {
      // the folder is gone or read-only: the next write says so
    }
  }
}

/** Replaces the lock of a holder that is no more. False when another process was faster: then all begins anew. */
async function takeOver(folder: string, path: string, former: string, text: string): Promise<boolean> {
  const claims: string[] = []
  for (let last = former; ; ) {
    const claim = claimOn(path, last)
    if (create(claim, text)) {
      claims.push(claim)
      break
    }
    const rival = readIfThere(claim)
    if (rival === undefined) return false
    await refuseIfAlive(folder, claim, rival)
    claims.push(claim)
    last = rival
  }
  try {
    // a claim that its maker has given up may be made again: it counts while the lock is the one that it was made on
    if (readIfThere(path) !== former) return false
    replace(path, text)
    return true
  } finally {
    // the lock is another one, or this process gives its claim up
    rmSync(claims.pop() ?? '', { force: true })
    if (readIfThere(path) !== former) for (const claim of claims) rmSync(claim, { force: true })
  }
}

/** Texts of locks are never the same, so that each lock has a claim of its own. */
function claimOn(path: string, text: string): string {
  return `${path}.${createHash('sha256').update(text).digest('hex').slice(0, 32)}`
}

function create(path: string, text: string): boolean {
  return createWhole(path, text, `${path}.draft-${randomUUID()}`)
}

function replace(path: string, text: string): void {
  const draft = `${path}.draft-${randomUUID()}`
  try {
    writeFileSync(draft, text, { flag: 'wx', mode: PRIVATE_FILE })
    renameSync(draft, path)
  } catch (error) {
    rmSync(draft, { force: true })
    throw error
  }
}

/** Removes what processes have left that ended while they took the lock. */
function sweep(folder: string): void {
  const now = Date.now()
  for (const name of readdirSync(folder)) {
    const path = join(folder, name)
    if (name.startsWith(`${FILE_NAME}.`) && now - modifiedAt(path) > LEFT_BEHIND_MS) rmSync(path, { force: true })
  }
}

async function refuseIfAlive(folder: string, path: string, text: string): Promise<void> {
  const holder = parse(text)
  if (await isAlive(holder, path)) throw inUse(folder, path, holder)
}

function inUse(folder: string, path: string, holder: Holder | undefined): MqttError {
  const owner = holder === undefined ? 'another process' : `process ${holder.pid}`
  const isOurs = holder?.pid === process.pid && holder.place === thisProcess().place
  return new MqttError(
    'GNATMQ_STORE_FAILED',
    `the store folder ${folder} is in use by ${owner}${isOurs ? ', which is this one' : ''}: ` +
      `stop it, or give each broker a folder of its own (lock file: ${path})`,
  )
}

async function isAlive(holder: Holder | undefined, path: string): Promise<boolean> {
  if (holder !== undefined && holder.place === thisProcess().place) {
    if (!processExists(holder.pid)) return false
    const startTime = startTimeOf(holder.pid)
    return startTime === undefined || holder.startTime === undefined || startTime === holder.startTime
  }
  const beat = modifiedAt(path)
  for (let waited = 0; waited <= SILENCE_MS; waited += 250) {
    if (modifiedAt(path) !== beat) return true
    await delay(250)
  }
  return false
}

function thisProcess(): Holder {
  return { pid: process.pid, startTime: startTimeOf(process.pid), place: `${hostname()} ${nameSpace()}` }
}

function nameSpace(): string {
  try {
    return readlinkSync('/proc/self/ns/pid')
  } catch {
    return ''
  }
}

/** Field 22 of Linux's /proc/PID/stat, which tells apart two processes that had the same number. */
function startTimeOf(pid: number): string | undefined {
  const stat = readIfThere(`/proc/${pid}/stat`)
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
}

function processExists(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return !(error instanceof Error && 'code' in error && error.code === 'ESRCH')
  }
}

function parse(text: string): Holder | undefined {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value !== 'object' || value === null || !('pid' in value) || typeof value.pid !== 'number')
      return undefined
    const startTime = 'startTime' in value && typeof value.startTime === 'string' ? value.startTime : undefined
    return { pid: value.pid, startTime, place: 'place' in value ? String(value.place) : '' }
  } catch {
    return undefined
  }
}

function modifiedAt(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
