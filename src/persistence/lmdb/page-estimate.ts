import type { Environment, Write } from './environment'
import { type TableName, tableNames } from './table-names'

/** The package makes pages of this size on every machine whose own are smaller; larger ones need fewer. */
const PAGE_BYTES = 4096

/** Values above about half a page have pages of their own. */
const LARGEST_INLINE = 2000

/** The path to a row, a neighbour that it may be merged with, and a page that it may be split into. */
const PAGES_PER_WRITE = 6

/** The head, the tree of tables, and the list of free pages when it is short. */
const PAGES_PER_TRANSACTION = 32

/** Pages of the list of free pages that one transaction writes at most: the package holds no more of it in memory. */
const FREE_LIST_PAGES = 512

/** Pages that a transaction takes at most, without a look at the file. */
export function pagesAtMost(writes: readonly Write[]): number {
  let pages = PAGES_PER_TRANSACTION
  for (let i = 0; i < writes.length; i++) pages += PAGES_PER_WRITE + ownPages(writes[i]!)
  return pages
}

/** The same, less what a look at the tables rules out: a page of a table is copied once, however many rows change. */
export function pagesAtMostNow(environment: Environment, writes: readonly Write[]): number {
  const changed = {} as Record<TableName, number>
  const bytes = {} as Record<TableName, number>
  let pages = PAGES_PER_TRANSACTION
  for (const write of writes) {
    const { table, key, value } = write
    const own = ownPages(write)
    pages += own
    changed[table] = (changed[table] ?? 0) + 1
    if (value === undefined) continue
    bytes[table] = (bytes[table] ?? 0) + 16 + key.length + (own === 0 ? value.length : 16)
  }
  for (const table of tableNames) {
    const count = changed[table] ?? 0
    if (count === 0) continue
    const { leafPages, branchPages } = environment.pagesOf(table)
    const copies = Math.min(2 * count, leafPages) + Math.min(2 * count, branchPages)
    // each full page is split once by its first new row; then halves have to fill up
    const splits = Math.min(count, leafPages) + Math.ceil((2.2 * (bytes[table] ?? 0)) / PAGE_BYTES)
    pages += Math.min(PAGES_PER_WRITE * count, copies + splits + 8)
  }
  return pages + freeListPages(environment)
}

/** What it takes to write the list of free pages anew. */
export function freeListPages(environment: Environment): number {
  return Math.min(2 * environment.freeListPages(), FREE_LIST_PAGES)
}

function ownPages({ value }: Write): number {
  return value === undefined || value.length < LARGEST_INLINE ? 0 : Math.ceil((value.length + 32) / PAGE_BYTES) + 1
}
