import { readFileSync } from 'node:fs'

/** How many files, sockets included, this process may have open; undefined where the system does not tell. */
export function maximumOpenFiles(): number | undefined {
  try {
    const [, soft] = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? []
    return soft === undefined ? undefined : Number(soft)
  } catch {
    // only Linux has this file
    return undefined
  }
}
