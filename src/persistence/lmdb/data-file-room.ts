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
import { numberAt } from './data-page'
import type { Environment, Write } from './environment'
import { freeListPages, pagesAtMost, pagesAtMostNow } from './page-estimate'
import { PRIVATE_FILE } from './private-files'

/** File systems that overwrite a block in place, so that an existing block can always be written: ext, XFS, tmpfs. */
const WRITES_IN_PLACE: readonly number[] = [0xef53, 0x58465342, 0x01021994]

const PIECE = Buffer.alloc(1024 * 1024)

/** The page of most machines, and the block of most disks. */
const BLOCK_BYTES = 4096

/** Where the first head names the size of a page, and each head the last page and its transaction. */
const PAGE_SIZE_AT = 48
const LAST_PAGE_AT = 144
const NUMBERS_BYTES = 16

/** Bytes of the file in which the package keeps its readers; it maps that file, so that each page of it must be there. */
const READER_FILE_BYTES = 3 * BLOCK_BYTES

/** Pages that only transactions that take away may have, for a store of up to 4 MiB and from 128 MiB on. */
const SMALLEST_RESERVE = 128
const LARGEST_RESERVE = 4096

/** What a transaction without a look at the tables may ask for; a larger one is looked at. */
const LARGEST_GUESS = 1024

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
 * Where the file system writes in place, the file is made longer by zeros beforehand. Existing blocks cannot run out,
 * whatever quotas say and other processes do. Elsewhere the free space is asked for before each transaction.
 */
export class DataFileRoom {
  private readonly file: number
  private readonly path: string
  private readonly isInPlace: boolean
  private readonly pageSize: number
  /** Pages that the file has. */
  private present: number
  private readonly numbers = Buffer.alloc(2 * NUMBERS_BYTES)
  /** Existing pages behind the last one in use that no transaction has received since that was looked up. */
  private spare = 0
  private reserve = SMALLEST_RESERVE

  constructor(path: string) {
    this.path = path
    this.file = openSync(path, 'r+')
    readSync(this.file, this.numbers, 0, 4, PAGE_SIZE_AT)
    this.pageSize = this.numbers.readUInt32LE(0)
    this.present = this.presentPages()
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
    if (this.isInPlace) this.writeZeros(this.present, SMALLEST_RESERVE)
    else if (this.freeBytes() < SMALLEST_RESERVE * this.pageSize) throw this.noRoom(SMALLEST_RESERVE)
  }

  /**
   * Makes sure that a transaction finds room. Rejects or throws NoRoomError when it does not.
   * @param isAdding Asked only when room is short: whether it adds something, so that the reserve is not for it.
   */
  claim(environment: Environment, writes: readonly Write[], isAdding: () => boolean): void | Promise<void> {
    const atMost = pagesAtMost(writes)
    if (this.isInPlace) {
      if (atMost > this.spare - this.reserve) this.spare = this.present - this.lastPage() - 1
      if (atMost <= this.spare - this.reserve) {
        this.spare -= atMost
        return
      }
    }
    return this.claimNow(environment, writes, Math.min(atMost, LARGEST_GUESS), isAdding)
  }

  private async claimNow(
    environment: Environment,
    writes: readonly Write[],
    guess: number,
    isAdding: () => boolean,
  ): Promise<void> {
    const needed = pagesAtMostNow(environment, writes)
    if (!this.isInPlace) return this.compareWithDisk(environment, needed, isAdding)
    const lastPage = this.lastPage()
    this.spare = this.present - lastPage - 1
    if (needed <= this.spare - this.reserve && guess <= this.spare) {
      this.spare -= needed
      return
    }
    const usedPages = this.setReserve(environment)
    const missing = Math.max(needed, guess) + this.reserve - this.spare
    if (missing > 0) {
      const step = Math.min(Math.max(usedPages >> 4, SMALLEST_STEP), LARGEST_STEP)
      await this.grow(Math.max(this.present, lastPage + 1), missing + step)
      this.spare = this.present - lastPage - 1
    }
    if (needed + this.reserve > this.spare) {
      if (isAdding()) throw this.noRoom(needed)
      // of the free pages within the file, those that were freed last cannot be used yet
      const within = Math.max((lastPage - usedPages) >> 1, 0)
      if (needed > this.spare + within) throw this.noRoom(needed)
    }
    this.spare = Math.max(this.spare - needed, 0)
  }

  /** Keeps more aside the more there is to take away. Gives the pages in use. */
  private setReserve(environment: Environment): number {
    const { usedPages } = environment.pages()
    this.reserve = Math.min(Math.max(usedPages >> 3, SMALLEST_RESERVE), LARGEST_RESERVE) + freeListPages(environment)
    return usedPages
  }

  /** The last page that was ever used, as the newer head says. */
  private lastPage(): number {
    for (const head of [0, 1]) {
      readSync(this.file, this.numbers, head * NUMBERS_BYTES, NUMBERS_BYTES, head * this.pageSize + LAST_PAGE_AT)
    }
    const isFirst = numberAt(this.numbers, 8) > numberAt(this.numbers, NUMBERS_BYTES + 8)
    return numberAt(this.numbers, isFirst ? 0 : NUMBERS_BYTES)
  }

  private compareWithDisk(environment: Environment, needed: number, isAdding: () => boolean): void {
    this.setReserve(environment)
    const free = Math.floor(this.freeBytes() / this.pageSize)
    if (needed > free || (needed + 2 * this.reserve > free && isAdding())) throw this.noRoom(needed)
  }

  /** Makes the file longer, or as long as the disk allows. */
  private async grow(from: number, pages: number): Promise<void> {
    const piece = PIECE.length / this.pageSize
    for (let done = 0; done < pages; done += piece) {
      if (done > 0) await nextTurn()
      try {
        this.writeZeros(from + done, Math.min(piece, pages - done))
      } catch {
        // what there is tells whether it is enough
        break
      }
    }
    this.present = this.presentPages()
  }

  private writeZeros(page: number, pages: number): void {
    for (let at = 0; at < pages * this.pageSize; ) {
      const length = Math.min(PIECE.length, pages * this.pageSize - at)
      at += writeSync(this.file, PIECE, 0, length, page * this.pageSize + at)
    }
  }

  private presentPages(): number {
    return Math.floor(fstatSync(this.file).size / this.pageSize)
  }

  /** A page that was never written takes room once it is. True when there is none such any more. */
  private fillHoles(): boolean {
    const { size, blocks } = fstatSync(this.file)
    if (blocks * 512 >= size) return true
    const bytes = Buffer.allocUnsafe(PIECE.length)
    try {
      for (let at = 0; at < size; at += bytes.length) {
        const read = readSync(this.file, bytes, 0, bytes.length, at)
        for (let page = 0; page + BLOCK_BYTES <= read; page += BLOCK_BYTES) {
          if (bytes.compare(PIECE, 0, BLOCK_BYTES, page, page + BLOCK_BYTES) === 0)
            writeSync(this.file, PIECE, 0, BLOCK_BYTES, at + page)
        }
      }
      return true
    } catch {
      return false
    }
  }

  private noRoom(pages: number): NoRoomError {
    return new NoRoomError(`ENOSPC: there is no room for the ${pages * this.pageSize} bytes that this may take`)
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
    for (let at = 0; at < 2 * SMALLEST_RESERVE * BLOCK_BYTES; at += PIECE.length)
      writeFileSync(file, PIECE, { flag: 'a' })
  } finally {
    rmSync(file, { force: true })
  }
}
