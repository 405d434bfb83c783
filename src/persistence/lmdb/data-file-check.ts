import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { checkKeys, DamagedFileError, numberAt, PAGE_HEADER, type Tree, treeAt, valuePlace } from './data-page'
import { PageMap } from './page-map'
import { type TableName, tableNames } from './table-names'

const MAGIC = 0xbeefc0de
const DATA_VERSION = 2
const BRANCH = 0x01
const LEAF = 0x02
const OVERFLOW = 0x04
const META = 0x08
const VALUE_ON_OVERFLOW_PAGES = 0x01
const VALUE_IS_TREE = 0x02
/** The keys of the list of free pages are numbers of the machine. */
const FREE_LIST_FLAGS = 0x08
const PAGES_PER_TURN = 256

/** Told of each row of each table, `meta` first; throws when it is not what was written. */
export interface RowCheck {
  row(table: TableName, key: Buffer, value: Buffer): void
}

interface Head {
  readonly pageSize: number
  readonly freePages: Tree
  readonly main: Tree
  readonly lastPage: number
  readonly transaction: number
}

/** What is seen of a tree while it is walked. */
interface Visit {
  branchPages: number
  leafPages: number
  overflowPages: number
  entries: number
  readonly numberKeys: boolean
  readonly row: (key: Buffer, value: Buffer, isTree: boolean) => void
}

/** The keys that may lie under a page: from `low`, and below `high`. */
interface Bounds {
  readonly low: Buffer | undefined
  readonly high: Buffer | undefined
}

const NO_BOUNDS: Bounds = { low: undefined, high: undefined }

/**
 * Walks through the trees of an LMDB data file without LMDB, which trusts its file: a page that is not what it should
 * be would end the process there, and a page that is taken for free is written over. Pages that no tree reaches are not
 * looked at, so a process that was killed while it wrote has left nothing to complain of.
 *
 * Rejects with DamagedFileError, or with what `rows` throws. Reads every page, some hundred megabytes a second.
 */
export async function checkDataFile(path: string, rows: RowCheck): Promise<void> {
  const file = openSync(path, 'r')
  try {
    await new DataFileCheck(file, fstatSync(file).size, rows).run()
  } finally {
    closeSync(file)
  }
}

class DataFileCheck {
  private readonly file: number
  private readonly size: number
  private readonly rows: RowCheck
  private pageSize = 4096
  private lastTransaction = 0
  private map = new PageMap(0)
  private pages = 0

  constructor(file: number, size: number, rows: RowCheck) {
    this.file = file
    this.size = size
    this.rows = rows
  }

  async run(): Promise<void> {
    if (this.size === 0) throw new DamagedFileError('it is empty')
    const first = this.head(0, 0)
    this.pageSize = first.pageSize
    if (this.pageSize < 512 || this.pageSize > 65536 || (this.pageSize & (this.pageSize - 1)) !== 0) {
      throw new DamagedFileError(`its page size is ${this.pageSize}`)
    }
    const second = this.head(1, this.pageSize)
    if (second.pageSize !== first.pageSize) throw new DamagedFileError('its two heads have different page sizes')
    const [newer, older] = first.transaction > second.transaction ? [first, second] : [second, first]
    this.checkHeads(newer, older)
    this.lastTransaction = newer.transaction
    this.map = new PageMap(newer.lastPage)
    await this.walk(newer.freePages, true, (key, value, isTree) => this.freePages(key, value, isTree))
    await this.walkTables(newer.main)
    this.map.checkEnd(Math.floor(this.size / this.pageSize))
  }

  private head(number: number, offset: number): Head {
    const page = this.bytes(offset, PAGE_HEADER + 144)
    const isHead = numberAt(page, 0) === number && page.readUInt16LE(18) === META
    if (!isHead || page.readUInt32LE(PAGE_HEADER) !== MAGIC) {
      throw new DamagedFileError(`its head at byte ${offset} is not that of an LMDB file`)
    }
    const version = page.readUInt32LE(PAGE_HEADER + 4)
    if (version !== DATA_VERSION) throw new DamagedFileError(`its format is version ${version} of LMDB`)
    const freePages = treeAt(page, PAGE_HEADER + 24)
    const main = treeAt(page, PAGE_HEADER + 72)
    if (freePages.flags !== FREE_LIST_FLAGS || main.flags !== 0 || main.pad !== 0) {
      throw new DamagedFileError(`its head at byte ${offset} has unknown flags`)
    }
    const lastPage = numberAt(page, PAGE_HEADER + 120)
    return { pageSize: freePages.pad, freePages, main, lastPage, transaction: numberAt(page, PAGE_HEADER + 128) }
  }

  /**
   * Transactions write the two heads in turn, and each of them copies the root of the tables: the number of a transaction
   * that has changed agrees with neither. A copy that a backup made has one head that says nothing.
   */
  private checkHeads(newer: Head, older: Head): void {
    const isCopy = older.transaction === 0 && older.main.root === undefined && newer.transaction % 2 === 1
    if (newer.main.root === undefined) throw new DamagedFileError('its head names no tables')
    if (!isCopy && newer.transaction !== older.transaction + 1) {
      throw new DamagedFileError(`its heads are of the transactions ${older.transaction} and ${newer.transaction}`)
    }
    for (const head of [newer, older]) {
      const { root } = head.main
      if (root === undefined) continue
      const wrote = numberAt(this.bytes(root * this.pageSize, PAGE_HEADER), 8)
      if (wrote > head.transaction || (head === newer && !isCopy && wrote !== head.transaction)) {
        throw new DamagedFileError(
          `its head of transaction ${head.transaction} leads to what transaction ${wrote} wrote`,
        )
      }
    }
  }

  private freePages(key: Buffer, value: Buffer, isTree: boolean): void {
    if (isTree) throw new DamagedFileError('its list of free pages has a tree for a value')
    const transaction = key.length === 8 ? numberAt(key, 0) : 0
    if (transaction === 0 || transaction > this.lastTransaction) {
      throw new DamagedFileError(`its list of free pages names transaction ${transaction}`)
    }
    this.map.takeList(value)
  }

  private async walkTables(main: Tree): Promise<void> {
    const tables = new Map<string, Tree>()
    await this.walk(main, false, (key, value, isTree) => {
      if (!isTree || value.length !== 48) throw new DamagedFileError('a table is not a tree')
      tables.set(key.toString('latin1').replace(/\0$/, ''), treeAt(value, 0))
    })
    // a newer version may have more tables, which `meta` tells first
    for (const table of tableNames) {
      const tree = tables.get(table)
      if (tree === undefined) throw new DamagedFileError(`it has no table ${table}`)
      if (tree.flags !== 0 || tree.pad !== 0) throw new DamagedFileError(`its table ${table} has unknown flags`)
      await this.walk(tree, false, (key, value, isTree) => {
        if (isTree) throw new DamagedFileError(`its table ${table} has a tree for a value`)
        this.rows.row(table, key, value)
      })
    }
    if (tables.size !== tableNames.length) throw new DamagedFileError(`it has ${tables.size} tables`)
  }

  private async walk(tree: Tree, numberKeys: boolean, row: Visit['row']): Promise<void> {
    const seen: Visit = { branchPages: 0, leafPages: 0, overflowPages: 0, entries: 0, numberKeys, row }
    if (tree.root !== undefined) await this.visit(tree.root, tree.depth, seen, NO_BOUNDS)
    for (const name of ['branchPages', 'leafPages', 'overflowPages', 'entries'] as const) {
      if (seen[name] !== tree[name]) {
        throw new DamagedFileError(`a tree has ${seen[name]} instead of ${tree[name]} ${name}`)
      }
    }
  }

  private async visit(number: number, depth: number, seen: Visit, bounds: Bounds): Promise<void> {
    if (++this.pages % PAGES_PER_TURN === 0) await nextTurn()
    if (depth < 1 || depth > 32) throw new DamagedFileError(`a tree has a depth that leads to page ${number}`)
    const isLeaf = depth === 1
    this.map.take(number, 1)
    const page = this.page(number, isLeaf ? LEAF : BRANCH)
    const { nodes, keys } = checkKeys(number, page, isLeaf, seen.numberKeys, bounds)
    if (!isLeaf) {
      seen.branchPages++
      for (const [index, node] of nodes.entries()) {
        const child = page.readUInt32LE(node) + page.readUInt16LE(node + 4) * 0x1_0000_0000
        const low = index === 0 ? bounds.low : keys[index]
        await this.visit(child, depth - 1, seen, { low, high: keys[index + 1] ?? bounds.high })
      }
      return
    }
    seen.leafPages++
    seen.entries += nodes.length
    for (const [index, node] of nodes.entries()) this.leafRow(number, page, node, keys[index]!, seen)
  }

  private leafRow(number: number, page: Buffer, node: number, key: Buffer, seen: Visit): void {
    const flags = page.readUInt16LE(node + 4)
    const { start, length } = valuePlace(page, node)
    if (flags === 0 || flags === VALUE_IS_TREE) {
      seen.row(key, page.subarray(start, start + length), flags === VALUE_IS_TREE)
    } else if (flags === VALUE_ON_OVERFLOW_PAGES) {
      seen.row(key, this.overflow(numberAt(page, start), numberAt(page, start + 16), length, seen), false)
    } else throw new DamagedFileError(`page ${number} has a value of an unknown kind`)
  }

  private overflow(first: number, count: number, length: number, seen: Visit): Buffer {
    if (count !== Math.ceil((PAGE_HEADER + length) / this.pageSize)) {
      throw new DamagedFileError(`the large value on page ${first} has another length than it should`)
    }
    this.map.take(first, count)
    const bytes = this.bytes(first * this.pageSize, count * this.pageSize)
    const isFirst = numberAt(bytes, 0) === first && bytes.readUInt16LE(18) === OVERFLOW
    if (!isFirst || bytes.readUInt32LE(20) !== count || numberAt(bytes, 8) > this.lastTransaction) {
      throw new DamagedFileError(`page ${first} does not begin the large value that it should`)
    }
    seen.overflowPages += count
    return bytes.subarray(PAGE_HEADER, PAGE_HEADER + length)
  }

  private page(number: number, kind: number): Buffer {
    const page = this.bytes(number * this.pageSize, this.pageSize)
    if (numberAt(page, 0) !== number || page.readUInt16LE(18) !== kind) {
      throw new DamagedFileError(`page ${number} is not the page that it should be`)
    }
    // LMDB takes such a page for one of its own copies and writes to it
    if (numberAt(page, 8) > this.lastTransaction) throw new DamagedFileError(`page ${number} is newer than the file`)
    return page
  }

  private bytes(offset: number, length: number): Buffer {
    if (offset + length > this.size) {
      throw new DamagedFileError(`it ends at byte ${this.size}, before what should be at byte ${offset}`)
    }
    const bytes = Buffer.allocUnsafe(length)
    if (readSync(this.file, bytes, 0, length, offset) !== length) {
      throw new DamagedFileError(`its bytes from ${offset} on cannot be read`)
    }
    return bytes
  }
}
