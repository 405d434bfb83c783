import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { setImmediate as nextTurn } from 'node:timers/promises'

const PAGE_HEADER = 24
const NODE_HEADER = 8
const TREE_BYTES = 48
const MAGIC = 0xbeefc0de
const DATA_VERSION = 2
const BRANCH = 0x01
const LEAF = 0x02
const OVERFLOW = 0x04
const META = 0x08
const VALUE_ON_OVERFLOW_PAGES = 0x01
const VALUE_IS_TREE = 0x02
const NO_PAGE = -1
const PAGES_PER_TURN = 512

/** What is wrong with a data file, and where. */
class DamagedFileError extends Error {
  override readonly name = 'DamagedFileError'
}

interface Tree {
  readonly depth: number
  readonly branchPages: number
  readonly leafPages: number
  readonly overflowPages: number
  readonly entries: number
  /** NO_PAGE when the tree is empty. */
  readonly root: number
}

/** How the keys of a tree ascend: as bytes, or as numbers of the machine, which are not looked at. */
type KeyOrder = 'bytes' | 'numbers'

interface Visit {
  branchPages: number
  leafPages: number
  overflowPages: number
  entries: number
}

/**
 * Walks through the trees of an LMDB data file without LMDB, which trusts its file: a page that is not what it should
 * be would end the process there. Pages that no tree reaches are not looked at, so a process that was killed while it
 * wrote has left nothing to complain of. Values are not looked at either: they have checksums. Nor is the list of free
 * pages, whose form is the package's own.
 *
 * Rejects with DamagedFileError. Reads every page but those of large values, some hundred megabytes a second.
 */
export async function checkDataFile(path: string): Promise<void> {
  const file = openSync(path, 'r')
  try {
    await new DataFileCheck(file, fstatSync(file).size).run()
  } finally {
    closeSync(file)
  }
}

class DataFileCheck {
  private readonly file: number
  private readonly size: number
  private pageSize = 4096
  private lastTransaction = 0
  private pages = 0

  constructor(file: number, size: number) {
    this.file = file
    this.size = size
  }

  async run(): Promise<void> {
    if (this.size === 0) throw new DamagedFileError('it is empty')
    const first = this.meta(0)
    this.pageSize = first.pageSize
    if (this.pageSize < 512 || this.pageSize > 65536 || (this.pageSize & (this.pageSize - 1)) !== 0) {
      throw new DamagedFileError(`its page size is ${this.pageSize}`)
    }
    const second = this.meta(this.pageSize)
    const meta = first.transaction >= second.transaction ? first : second
    this.lastTransaction = meta.transaction
    await this.walk(meta.freePages, 'numbers')
    await this.walk(meta.main, 'bytes', true)
  }

  private meta(offset: number) {
    const page = this.bytes(offset, PAGE_HEADER + 144)
    if ((page.readUInt16LE(18) & META) === 0 || page.readUInt32LE(PAGE_HEADER) !== MAGIC) {
      throw new DamagedFileError(`its head at byte ${offset} is not that of an LMDB file`)
    }
    const version = page.readUInt32LE(PAGE_HEADER + 4) & 0xffff
    if (version !== DATA_VERSION) throw new DamagedFileError(`its format is version ${version} of LMDB`)
    return {
      pageSize: page.readUInt32LE(PAGE_HEADER + 24),
      freePages: treeAt(page, PAGE_HEADER + 24),
      main: treeAt(page, PAGE_HEADER + 24 + TREE_BYTES),
      transaction: numberAt(page, PAGE_HEADER + 128),
    }
  }

  private async walk(tree: Tree, order: KeyOrder, hasTrees = false): Promise<void> {
    const seen: Visit = { branchPages: 0, leafPages: 0, overflowPages: 0, entries: 0 }
    if (tree.root !== NO_PAGE) await this.visit(tree.root, tree.depth, seen, order, hasTrees)
    for (const name of ['branchPages', 'leafPages', 'overflowPages', 'entries'] as const) {
      if (seen[name] !== tree[name]) {
        throw new DamagedFileError(`a tree has ${seen[name]} instead of ${tree[name]} ${name}`)
      }
    }
  }

  private async visit(number: number, depth: number, seen: Visit, order: KeyOrder, hasTrees: boolean): Promise<void> {
    if (++this.pages % PAGES_PER_TURN === 0) await nextTurn()
    const isLeaf = depth === 1
    const page = this.page(number, isLeaf ? LEAF : BRANCH)
    const nodes = this.nodes(number, page)
    if (order === 'bytes') checkOrder(number, page, isLeaf ? nodes : nodes.slice(1))
    if (!isLeaf) {
      seen.branchPages++
      for (const node of nodes) {
        const child = page.readUInt32LE(node) + page.readUInt16LE(node + 4) * 0x1_0000_0000
        await this.visit(child, depth - 1, seen, order, hasTrees)
      }
      return
    }
    seen.leafPages++
    seen.entries += nodes.length
    for (const node of nodes) {
      const flags = page.readUInt16LE(node + 4)
      if (flags === 0) continue
      const value = node + NODE_HEADER + page.readUInt16LE(node + 6)
      if (flags === VALUE_ON_OVERFLOW_PAGES) seen.overflowPages += this.overflow(numberAt(page, value), page, value)
      else if (flags === VALUE_IS_TREE && hasTrees) await this.walk(treeAt(page, value), order)
      else throw new DamagedFileError(`page ${number} has a value of an unknown kind`)
    }
  }

  /** Where the nodes of a page start, each of them within the page. */
  private nodes(number: number, page: Buffer): number[] {
    const lower = page.readUInt16LE(20)
    const upper = page.readUInt16LE(22)
    const end = this.pageSize - PAGE_HEADER
    if (lower > upper || upper > end || lower % 2 !== 0)
      throw new DamagedFileError(`page ${number} has impossible bounds`)
    const isLeaf = (page.readUInt16LE(18) & LEAF) !== 0
    const nodes: number[] = []
    for (let index = 0; index < lower; index += 2) {
      const offset = page.readUInt16LE(PAGE_HEADER + index)
      const node = PAGE_HEADER + offset
      if (offset < upper || offset + NODE_HEADER > end || node + this.nodeBytes(page, node, isLeaf) > this.pageSize) {
        throw new DamagedFileError(`page ${number} has a row that lies outside of it`)
      }
      nodes.push(node)
    }
    return nodes
  }

  private nodeBytes(page: Buffer, node: number, isLeaf: boolean): number {
    const key = NODE_HEADER + page.readUInt16LE(node + 6)
    if (!isLeaf) return key
    const isElsewhere = (page.readUInt16LE(node + 4) & VALUE_ON_OVERFLOW_PAGES) !== 0
    return key + (isElsewhere ? PAGE_HEADER : page.readUInt32LE(node))
  }

  private overflow(first: number, page: Buffer, value: number): number {
    const count = numberAt(page, value + 16)
    const head = this.bytes(first * this.pageSize, PAGE_HEADER)
    const isOverflow = numberAt(head, 0) === first && (head.readUInt16LE(18) & OVERFLOW) !== 0
    if (!isOverflow || head.readUInt32LE(20) !== count || (first + count) * this.pageSize > this.size) {
      throw new DamagedFileError(`page ${first} does not begin the large value that it should`)
    }
    return count
  }

  private page(number: number, kind: number): Buffer {
    const page = this.bytes(number * this.pageSize, this.pageSize)
    const flags = page.readUInt16LE(18)
    if (numberAt(page, 0) !== number || (flags & (BRANCH | LEAF | OVERFLOW | META)) !== kind) {
      throw new DamagedFileError(`page ${number} is not the page that it should be`)
    }
    // LMDB takes such a page for one of its own copies and writes to it
    if (numberAt(page, 8) > this.lastTransaction) throw new DamagedFileError(`page ${number} is newer than the file`)
    return page
  }

  private bytes(offset: number, length: number): Buffer {
    const bytes = Buffer.allocUnsafe(length)
    if (offset + length > this.size || readSync(this.file, bytes, 0, length, offset) !== length) {
      throw new DamagedFileError(`it ends at byte ${this.size}, before what should be at byte ${offset}`)
    }
    return bytes
  }
}

/** A key that has changed is out of order, or nearly always so. */
function checkOrder(number: number, page: Buffer, nodes: readonly number[]): void {
  let start = 0
  let end = 0
  for (const node of nodes) {
    const key = node + NODE_HEADER
    const keyEnd = key + page.readUInt16LE(node + 6)
    if (end > 0 && page.compare(page, start, end, key, keyEnd) <= 0) {
      throw new DamagedFileError(`page ${number} has keys out of order`)
    }
    start = key
    end = keyEnd
  }
}

function treeAt(page: Buffer, offset: number): Tree {
  const isEmpty = page.readUInt32LE(offset + 40) === 0xffffffff && page.readUInt32LE(offset + 44) === 0xffffffff
  return {
    depth: page.readUInt16LE(offset + 6),
    branchPages: numberAt(page, offset + 8),
    leafPages: numberAt(page, offset + 16),
    overflowPages: numberAt(page, offset + 24),
    entries: numberAt(page, offset + 32),
    root: isEmpty ? NO_PAGE : numberAt(page, offset + 40),
  }
}

const numberAt = (bytes: Buffer, offset: number): number =>
  bytes.readUInt32LE(offset) + bytes.readUInt32LE(offset + 4) * 0x1_0000_0000
