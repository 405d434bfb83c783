import { DamagedFileError, numberAt } from './data-page'

/** The first pages, which are the heads. */
const HEADS = 2

/** More pages than any disk has. */
const MOST_PAGES = 2 ** 36

const NUMBER = 8

/** The use of each page of a file: in one tree, in one place, or free. */
export class PageMap {
  private readonly lastPage: number
  private taken = new Uint8Array(1024)
  private highest = HEADS - 1

  constructor(lastPage: number) {
    this.lastPage = lastPage
    if (lastPage > MOST_PAGES) throw new DamagedFileError(`its head says that it has ${lastPage + 1} pages`)
  }

  /** Throws when one of the pages is taken already, or none of the file's. */
  take(first: number, count: number): void {
    const last = first + count - 1
    if (first < HEADS || last > this.lastPage || count < 1) {
      throw new DamagedFileError(`page ${first} is used and is none of its pages`)
    }
    this.reach(last)
    for (let page = first; page <= last; page++) {
      const bit = 1 << (page % 8)
      const at = Math.floor(page / 8)
      if ((this.taken[at]! & bit) !== 0) throw new DamagedFileError(`page ${page} is used twice, or used and free`)
      this.taken[at]! |= bit
    }
  }

  /** Takes the free pages of one row: a count of numbers, each a page, or less than zero the length of a run. */
  takeList(list: Buffer): void {
    const count = list.length < NUMBER ? -1 : numberAt(list, 0)
    if (count < 0 || (count + 1) * NUMBER > list.length) throw new DamagedFileError('its list of free pages is cut off')
    for (let index = 1; index <= count; index++) {
      const run = runAt(list, index)
      if (run > 0 && ++index > count) throw new DamagedFileError('its list of free pages ends within a run')
      const first = numberAt(list, index * NUMBER)
      // a place that is not in use
      if (run === 0 && first === 0) continue
      this.take(first, Math.max(run, 1))
    }
  }

  /** Throws when the head counts pages that the file lacks and that nothing refers to. */
  checkEnd(pagesOfFile: number): void {
    if (this.lastPage > Math.max(pagesOfFile - 1, this.highest)) {
      throw new DamagedFileError(`its head says that it has ${this.lastPage + 1} pages, and it has ${pagesOfFile}`)
    }
  }

  private reach(page: number): void {
    this.highest = Math.max(this.highest, page)
    const bytes = Math.floor(page / 8) + 1
    if (bytes <= this.taken.length) return
    const grown = new Uint8Array(Math.max(bytes, this.taken.length * 2))
    grown.set(this.taken)
    this.taken = grown
  }
}

/** The length of a run, or 0 where the number is that of a page. */
function runAt(list: Buffer, index: number): number {
  const high = list.readUInt32LE(index * NUMBER + 4)
  if (high < 0x8000_0000) return 0
  const run = 0x1_0000_0000 - list.readUInt32LE(index * NUMBER)
  if (high !== 0xffff_ffff) throw new DamagedFileError('its list of free pages has an impossible run')
  return run
}
