import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'

/** Rights for the owner alone: messages and names of clients are not for other users. */
export const PRIVATE_FOLDER = 0o700
export const PRIVATE_FILE = 0o600

/** Makes a folder and its parents, and brings their names to the disk. An existing folder keeps its rights. */
export function makeFolder(folder: string): void {
  const first = mkdirSync(folder, { recursive: true, mode: PRIVATE_FOLDER })
  if (first === undefined) return
  for (let made = folder; ; made = dirname(made)) {
    flushFolder(dirname(made))
    if (made === first || made === dirname(made)) return
  }
}

/** A new name in a folder is on the disk once the folder is. Not every system can do that. */
export function flushFolder(folder: string): void {
  if (process.platform === 'win32') return
  const descriptor = openSync(folder, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

/** Removes the rights of other users from a file, if it exists and belongs to this user. */
export function makePrivate(file: string): void {
  try {
    if (existsSync(file)) chmodSync(file, PRIVATE_FILE)
  } catch {
    // it belongs to another user, and its rights are theirs to give
  }
}

/**
 * Makes a file whole or not at all, and only if there is none of that name: a disk that is full leaves nothing behind.
 * False if there is one.
 */
export function createWhole(file: string, text: string, draft: string): boolean {
  try {
    writeFileSync(draft, text, { flag: 'wx', mode: PRIVATE_FILE })
    return link(draft, file, text)
  } finally {
    rmSync(draft, { force: true })
  }
}

function link(draft: string, file: string, text: string): boolean {
  try {
    linkSync(draft, file)
    return true
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false
    if (!NO_LINKS.includes(codeOf(error) ?? '')) throw error
    return createInPlace(file, text)
  }
}

/** What file systems without hard links answer. */
const NO_LINKS: readonly string[] = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK']

function createInPlace(file: string, text: string): boolean {
  let descriptor: number
  try {
    descriptor = openSync(file, 'wx', PRIVATE_FILE)
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false
    throw error
  }
  try {
    writeSync(descriptor, text)
    return true
  } catch (error) {
    rmSync(file, { force: true })
    throw error
  } finally {
    closeSync(descriptor)
  }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined
}
