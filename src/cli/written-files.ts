import { access, mkdir, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Terminal } from './terminal'

/** A file that a command writes. */
export interface WrittenFile {
  path: string
  content: string | Uint8Array
  /** Said beside its path. */
  what: string
  /** Read and written by its owner only. */
  secret: boolean
}

/** Writes all of the files or, when one of them exists and `force` is not given, none. */
export async function writeFiles(files: readonly WrittenFile[], force: boolean, terminal: Terminal): Promise<void> {
  if (!force) await refuseExisting(files)
  for (const { path, content, secret, what } of files) {
    await mkdir(dirname(path), { recursive: true })
    // A file that is replaced would keep its mode.
    if (force) await rm(path, { force: true })
    await writeFile(path, content, { flag: 'wx', mode: secret ? 0o600 : 0o644 })
    terminal.print(`wrote ${path}: ${what}`)
  }
}

/** The path of a file that is called as the certificate is: `*.example`, `::1` and `a/b` are names too. */
export const pathOf = (directory: string, name: string, extension: string): string =>
  join(directory, `${name.replaceAll(/[^\p{L}\p{N}._-]/gu, '_').replace(/^\./, '_')}${extension}`)

async function refuseExisting(files: readonly WrittenFile[]): Promise<void> {
  for (const { path } of files) {
    const exists = await access(path).then(
      () => true,
      () => false,
    )
    if (exists) throw new Error(`${path} exists: give --force to replace it`)
  }
}
