import { readFileSync, readlinkSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { MqttError } from '../../protocol/mqtt-error'

const FILE_NAME = 'gnatmq.lock'

/** The holder touches its file that often, for those who cannot see its process. */
const BEAT_MS = 2000

/** A file that was not touched for so long belongs to nobody, if its process cannot be seen from here. */
const SILENCE_MS = 10_000

interface Holder {
  readonly pid: number
  /** When the process started, in the kernel's words; undefined where the system does not tell. */
  readonly startTime: string | undefined
  /** Where the process number means something: host and name space. */
  readonly place: string
}

/** One process at a time in a folder. Two of them would not see what the other has in memory. */
export class FolderLock {
  private readonly path: string
  private readonly beat: NodeJS.Timeout

  private constructor(path: string) {
    this.path = path
    this.beat = setInterval(() => this.touch(), BEAT_MS)
    this.beat.unref()
  }

  /** Rejects with GNATMQ_STORE_FAILED if the folder is in use. Takes over from a process that is no more. */
  static async acquire(folder: string): Promise<FolderLock> {
    const path = join(folder, FILE_NAME)
    for (;;) {
      try {
        writeFileSync(path, JSON.stringify(thisProcess()), { flag: 'wx' })
        return new FolderLock(path)
      } catch (error) {
        if (!isExisting(error)) throw error
      }
      const text = readIfThere(path)
      if (text === undefined) continue
      const holder = parse(text)
      if (await isAlive(holder, path)) throw inUse(folder, path, holder)
      // another process may have taken over meanwhile: then the file is another one, and stays
      if (readIfThere(path) === text) rmSync(path, { force: true })
    }
  }

  release(): void {
    clearInterval(this.beat)
    rmSync(this.path, { force: true })
  }

  private touch(): void {
    const now = new Date()
    try {
      utimesSync(this.path, now, now)
    } catch {
      // the folder is gone or read-only: the next write says so
    }
  }
}

function inUse(folder: string, path: string, holder: Holder | undefined): MqttError {
  const who = holder === undefined ? 'another process' : `process ${holder.pid}`
  const isOurs = holder?.pid === process.pid && holder.place === thisProcess().place
  return new MqttError(
    'GNATMQ_STORE_FAILED',
    `the store folder ${folder} is in use by ${who}${isOurs ? ', which is this one' : ''}: ` +
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

function isExisting(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EEXIST'
}
