import {
  closeSync,
  fstatSync,
  openSync,
  readSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Environment, Write } from './environment'
import { freeListPages, pagesAtMost, pagesAtMostNow } from './page-estimate'
import { PRIVATE_FILE } from './private-files'

/** File systems that write a block where it lies, so that one that is there can always be written: ext, XFS, tmpfs. */
const WRITES_IN_PLACE = [0xef53, 0x58465342, 0x01021994]

const PAGE_BYTES = 4096
const PIECE = Buffer.alloc(256 * PAGE_BYTES)

/** Bytes of the file in which the package keeps its readers; it maps that file, so that each page of it must be there. */
const READER_FILE_BYTES = 3 * PAGE_BYTES

/** Pages that only transactions that take away may have, for a store of up to 4 MiB and from 128 MiB on. */
const SMALLEST_RESERVE = 128
const LARGEST_RESERVE = 4096

/** By how many pages the file grows at least and at most. */
const SMALLEST_STEP = 32
const LARGEST_STEP = 1024

/** There is no room for a transaction, and nothing of it was written. */
export class NoRoomError extends Error {
  override readonly name = 'NoRoomError'
  readonly code = 'ENOSPC'
}

/**
 * Makes room on the disk before a transaction needs it: a write that fails in the midst of one may end the process.
 *
 * Where the file system writes in place, the file is made longer by zeros beforehand. What is there cannot run out,
 * whatever quotas say and other processes do. Elsewhere the free space is asked for before each transaction.
 */
export class DataFileRoom {
  private readonly file: number
  private readonly path: string
  private readonly isInPlace: boolean
  /** Pages behind the last one in use that are there and that no transaction was given since that was looked up. */
  private spare = 0
  private reserve = SMALLEST_RESERVE

  constructor(path: string) {
    this.path = path
    this.file = openSync(path, 'r+')
    this.isInPlace = WRITES_IN_PLACE.includes(statfsSync(path).type) && this.fillHoles()
  }

  close(): void {
    closeSync(this.file)
  }

  /** Bytes that are free on the disk, as far as the system tells. */
  freeBytes(): number {
    try {
      const { bavail, bsize } = statfsSync(this.path)
      return bavail * bsize
    } catch {
      return 0
    }
  }

  /** Room for the tables of a new file. */
  claimFirst(): void {
    const present = this.presentPages()
    if (this.isInPlace) this.writeZeros(present, SMALLEST_RESERVE)
    else if (this.freeBytes() < SMALLEST_RESERVE * PAGE_BYTES) throw this.noRoom(SMALLEST_RESERVE)
  }

  /**
   * Makes sure that a transaction finds room. Rejects or throws NoRoomError when it does not.
   * @param isAdding Asked only when room is short: whether it adds something, so that the reserve is not for it.
   */
  claim(environment: Environment, writes: readonly Write[], isAdding: () => boolean): void | Promise<void> {
    const atMost = pagesAtMost(writes)
    if (this.isInPlace && atMost <= this.spare - this.reserve) {
      this.spare -= atMost
      return
    }
    return this.claimNow(environment, writes, isAdding)
  }

  private async claimNow(environment: Environment, writes: readonly Write[], isAdding: () => boolean): Promise<void> {
    const { lastPage, usedPages } = environment.pages()
    const needed = pagesAtMostNow(environment, writes)
    this.reserve = Math.min(Math.max(usedPages >> 3, SMALLEST_RESERVE), LARGEST_RESERVE) + freeListPages(environment)
    if (!this.isInPlace) return this.compareWithDisk(needed, isAdding)
    const present = this.presentPages()
    this.spare = present - lastPage - 1
    if (needed + this.reserve > this.spare) {
      const step = Math.min(Math.max(usedPages >> 4, SMALLEST_STEP), LARGEST_STEP)
      await this.grow(Math.max(present, lastPage + 1), needed + this.reserve - this.spare + step)
      this.spare = this.presentPages() - lastPage - 1
    }
    if (needed + this.reserve > this.spare) {
      if (isAdding()) throw this.noRoom(needed)
      // of the free pages within the file, those that were freed last cannot be used yet
      const within = Math.max((lastPage - usedPages) >> 1, 0)
      if (needed > this.spare + within) throw this.noRoom(needed)
    }
    this.spare = Math.max(this.spare - needed, 0)
  }

  private compareWithDisk(needed: number, isAdding: () => boolean): void {
    const free = Math.floor(this.freeBytes() / PAGE_BYTES)
    if (needed > free || (needed + 2 * this.reserve > free && isAdding())) throw this.noRoom(needed)
  }

  /** Makes the file longer, or as long as the disk allows. */
  private async grow(from: number, pages: number): Promise<void> {
    const piece = PIECE.length / PAGE_BYTES
    for (let done = 0; done < pages; done += piece) {
      if (done > 0) await nextTurn()
      try {
        this.writeZeros(from + done, Math.min(piece, pages - done))
      } catch {
        // what there is tells whether it is enough
        return
      }
    }
  }

  private writeZeros(page: number, pages: number): void {
    for (let at = 0; at < pages * PAGE_BYTES; ) {
      const length = Math.min(PIECE.length, pages * PAGE_BYTES - at)
      at += writeSync(this.file, PIECE, 0, length, page * PAGE_BYTES + at)
    }
  }

  private presentPages(): number {
    return Math.floor(fstatSync(this.file).size / PAGE_BYTES)
  }

  /** A page that was never written takes room once it is. True when there is none such any more. */
  private fillHoles(): boolean {
    const { size, blocks } = fstatSync(this.file)
    if (blocks * 512 >= size) return true
    const bytes = Buffer.allocUnsafe(PIECE.length)
    try {
      for (let at = 0; at < size; at += bytes.length) {
        const read = readSync(this.file, bytes, 0, bytes.length, at)
        for (let page = 0; page + PAGE_BYTES <= read; page += PAGE_BYTES) {
          if (bytes.compare(PIECE, 0, PAGE_BYTES, page, page + PAGE_BYTES) === 0)
            writeSync(this.file, PIECE, 0, PAGE_BYTES, at + page)
        }
      }
      return true
    } catch {
      return false
    }
  }

  private noRoom(pages: number): NoRoomError {
    return new NoRoomError(`ENOSPC: there is no room for the ${pages * PAGE_BYTES} bytes that this may take`)
  }
}

/** Makes the file of the readers whole, before the package maps it: a page that the disk lacks would end the process. */
export function prepareReaderFile(path: string): void {
  const status = statSync(path, { throwIfNoEntry: false })
  if (status !== undefined && status.size > 0 && status.blocks * 512 >= status.size) return
  writeFileSync(path, PIECE.subarray(0, READER_FILE_BYTES), { mode: PRIVATE_FILE })
}

/** Throws when a new store would not find room in a folder: the package must not meet that while it makes its file. */
export function checkRoomForStore(folder: string): void {
  const file = join(folder, 'room')
  try {
    for (let at = 0; at < 2 * SMALLEST_RESERVE * PAGE_BYTES; at += PIECE.length)
      writeFileSync(file, PIECE, { flag: 'a' })
  } finally {
    rmSync(file, { force: true })
  }
}
