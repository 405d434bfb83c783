/** Bytes in front of what a page holds. */
export const PAGE_HEADER = 24
const NODE_HEADER = 8
const VALUE_ON_OVERFLOW_PAGES = 0x01

/** What a leaf holds of a value that lies on pages of its own. */
const OVERFLOW_REFERENCE = 24

/** What is wrong with a data file, and where. */
export class DamagedFileError extends Error {
  override readonly name = 'DamagedFileError'
}

export interface Tree {
  readonly pad: number
  readonly flags: number
  readonly depth: number
  readonly branchPages: number
  readonly leafPages: number
  readonly overflowPages: number
  readonly entries: number
  /** undefined when the tree is empty. */
  readonly root: number | undefined
}

export function treeAt(page: Buffer, offset: number): Tree {
  const isEmpty = page.readUInt32LE(offset + 40) === 0xffffffff && page.readUInt32LE(offset + 44) === 0xffffffff
  return {
    pad: page.readUInt32LE(offset),
    flags: page.readUInt16LE(offset + 4),
    depth: page.readUInt16LE(offset + 6),
    branchPages: numberAt(page, offset + 8),
    leafPages: numberAt(page, offset + 16),
    overflowPages: numberAt(page, offset + 24),
    entries: numberAt(page, offset + 32),
    root: isEmpty ? undefined : numberAt(page, offset + 40),
  }
}

/** Where the value of a leaf's row starts, or the reference to it, and how long the value is. */
export function valuePlace(page: Buffer, node: number): { start: number; length: number } {
  return { start: node + NODE_HEADER + page.readUInt16LE(node + 6), length: page.readUInt32LE(node) }
}

/**
 * Where the rows of a page start, and their keys. They fill the page from its upper bound to its end without a gap, their
 * keys ascend, and lie within the bounds that the page above names.
 */
export function checkKeys(
  number: number,
  page: Buffer,
  isLeaf: boolean,
  numberKeys: boolean,
  bounds: { low: Buffer | undefined; high: Buffer | undefined },
): { nodes: number[]; keys: Buffer[] } {
  const nodes = nodesOf(number, page, isLeaf)
  const keys = nodes.map((node) => {
    const start = node + NODE_HEADER
    return page.subarray(start, start + page.readUInt16LE(node + 6))
  })
  const compare = numberKeys ? compareNumbers : Buffer.compare
  // a branch reaches the first of its pages without a key
  let last = isLeaf ? undefined : bounds.low
  for (let i = isLeaf ? 0 : 1; i < keys.length; i++) {
    const key = keys[i]!
    const isBelow = i === 0 && bounds.low !== undefined && compare(key, bounds.low) < 0
    const isNotAbove = last !== undefined && compare(key, last) <= 0
    if (isBelow || isNotAbove) throw new DamagedFileError(`page ${number} has keys out of order`)
    last = key
  }
  if (last !== undefined && bounds.high !== undefined && keys.length > 0 && compare(last, bounds.high) >= 0) {
    throw new DamagedFileError(`page ${number} has keys out of order`)
  }
  return { nodes, keys }
}

function nodesOf(number: number, page: Buffer, isLeaf: boolean): number[] {
  const lower = page.readUInt16LE(20)
  const upper = page.readUInt16LE(22)
  const end = page.length - PAGE_HEADER
  if (lower > upper || upper > end || lower % 2 !== 0 || lower < (isLeaf ? 2 : 4)) {
    throw new DamagedFileError(`page ${number} has impossible bounds`)
  }
  const nodes: number[] = []
  const starts: number[] = []
  const lengths = new Map<number, number>()
  for (let index = 0; index < lower; index += 2) {
    const offset = page.readUInt16LE(PAGE_HEADER + index)
    const node = PAGE_HEADER + offset
    if (offset < upper || offset + NODE_HEADER > end) throw outside(number)
    const length = nodeBytes(page, node, isLeaf)
    if (node + length > page.length) throw outside(number)
    nodes.push(node)
    starts.push(offset)
    lengths.set(offset, length + (length & 1))
  }
  let expected = upper
  for (const start of starts.sort((a, b) => a - b)) {
    if (start !== expected) throw new DamagedFileError(`page ${number} has rows that overlap, or a gap between them`)
    expected += lengths.get(start) ?? 0
  }
  if (expected !== end) throw new DamagedFileError(`page ${number} has a gap behind its rows`)
  return nodes
}

function nodeBytes(page: Buffer, node: number, isLeaf: boolean): number {
  const key = NODE_HEADER + page.readUInt16LE(node + 6)
  if (!isLeaf) return key
  const isElsewhere = (page.readUInt16LE(node + 4) & VALUE_ON_OVERFLOW_PAGES) !== 0
  return key + (isElsewhere ? OVERFLOW_REFERENCE : page.readUInt32LE(node))
}

function compareNumbers(a: Buffer, b: Buffer): number {
  if (a.length !== 8 || b.length !== 8) throw new DamagedFileError('its list of free pages has a key that is no number')
  return numberAt(a, 0) - numberAt(b, 0)
}

const outside = (number: number) => new DamagedFileError(`page ${number} has a row that lies outside of it`)

export function numberAt(bytes: Buffer, offset: number): number {
  return bytes.readUInt32LE(offset) + bytes.readUInt32LE(offset + 4) * 0x1_0000_0000
}
