import type { Database, RootDatabase, RootDatabaseOptions } from 'lmdb'
import { MqttError } from '../../protocol/mqtt-error'
import { PRIVATE_FILE } from './private-files'
import { checkSeal, seal } from './record-seal'
import { type TableName, tableNames } from './table-names'

/** One write of a transaction: a record, which is sealed as it is written. Without a value the key is removed. */
export interface Write {
  readonly table: TableName
  readonly key: Buffer
  readonly value: Buffer | undefined
}

export interface Row {
  readonly key: Buffer
  readonly value: Buffer
}

/** Where a range starts and ends; `after` leaves its own key out. */
export interface Range {
  readonly start?: Buffer
  readonly after?: Buffer
  readonly end?: Buffer
  readonly limit: number
}

type LmdbPackage = typeof import('lmdb')
type Table = Database<Buffer, Buffer>

/** What the package has and its types leave out. */
type Root = RootDatabase<Buffer, Buffer> & { sync(done: (error: Error | null | undefined) => void): void }
interface TreeStatistics {
  pageSize: number
  treeBranchPageCount: number
  treeLeafPageCount: number
  overflowPages: number
  entryCount: number
}
interface TableStatistics extends TreeStatistics {
  lastPageNumber: number
  root: TreeStatistics
  free: TreeStatistics
}

/** The keys of the table `meta`. */
export const META_KEYS = { format: Buffer.from('format'), nextSession: Buffer.from('next session') } as const

/** Pages at the start of the file that say where everything else is. */
const HEADS = 2

const FIRST_KEY = Buffer.of(0)

/** Loads the optional package. */
export async function loadLmdb(load: () => Promise<LmdbPackage> = () => import('lmdb')): Promise<LmdbPackage> {
  try {
    return await load()
  } catch (cause) {
    throw new MqttError(
      'GNATMQ_DEPENDENCY_MISSING',
      'the durable store needs an optional package that is not installed: run "npm install lmdb"',
      { cause },
    )
  }
}

/** An open LMDB file: reads of what is committed, and transactions of the write thread. */
export class Environment {
  private readonly root: Root
  private readonly tables: Readonly<Record<TableName, Table>>

  private constructor(root: Root) {
    this.root = root
    const open = (name: TableName) => root.openDB<Buffer, Buffer>({ name, keyEncoding: 'binary', encoding: 'binary' })
    this.tables = Object.fromEntries(tableNames.map((name) => [name, open(name)])) as Record<TableName, Table>
  }

  /**
   * @param flush Whether a transaction ends with its bytes on the disk, or with the operating system.
   * @param beforeTables Called once the file exists, before the first transaction makes tables in it.
   */
  static async open(folder: string, flush: boolean, beforeTables?: () => void): Promise<Environment> {
    const lmdb = await loadLmdb()
    const options: RootDatabaseOptions & { overlappingSync: boolean; permissionsMode: number } = {
      keyEncoding: 'binary',
      encoding: 'binary',
      maxDbs: tableNames.length + 2,
      // a folder may have a dot in its name
      noSubdir: false,
      noSync: !flush,
      // the default answers before the disk has the bytes
      overlappingSync: false,
      eventTurnBatching: false,
      permissionsMode: PRIVATE_FILE,
    }
    const root = lmdb.open<Buffer, Buffer>(folder, options) as Root
    try {
      beforeTables?.()
      return new Environment(root)
    } catch (error) {
      await root.close()
      throw error
    }
  }

  /** Throws DamagedRecordError, as `rows` does, when a record is not the one that was written under its key. */
  get(table: TableName, key: Buffer): Buffer | undefined {
    const value = this.tables[table].getBinary(key)
    if (value !== undefined) checkSeal(value, table, key)
    return value
  }

  has(table: TableName, key: Buffer): boolean {
    return this.tables[table].doesExist(key)
  }

  rows(table: TableName, range: Range): Row[] {
    return Array.from(this.tables[table].getRange(rangeOptions(range)), ({ key, value }) => {
      checkSeal(value, table, key)
      return { key, value }
    })
  }

  keys(table: TableName, range: Range): Buffer[] {
    return Array.from(this.tables[table].getKeys(rangeOptions(range)))
  }

  lastKey(table: TableName): Buffer | undefined {
    for (const key of this.tables[table].getKeys({ reverse: true, limit: 1 })) return key
    return undefined
  }

  /** One transaction of the write thread. Resolves once it is committed; rejects when nothing of it is kept. */
  async write(writes: readonly Write[]): Promise<void> {
    try {
      await this.root.batch(() => {
        for (let i = 0; i < writes.length; i++) {
          const { table, key, value } = writes[i]!
          if (value === undefined) this.tables[table].remove(key)
          else {
            seal(value, table, key)
            this.tables[table].put(key, value)
          }
        }
      })
    } catch (error) {
      throw await commitErrorOf(error)
    } finally {
      this.root.resetReadTxn()
    }
  }

  /** Brings what is written to the disk. */
  sync(): Promise<void> {
    return new Promise((resolve, reject) => this.root.sync((error) => (error ? reject(error) : resolve())))
  }

  entryCount(table: TableName): number {
    return this.statistics(table).entryCount
  }

  /** Bytes of the pages that hold something: the file less its free pages. */
  usedBytes(): number {
    return this.tablePages() * this.statistics('meta').pageSize
  }

  /** The last page of the file that was ever used, and how many up to it are not free. */
  pages(): { lastPage: number; usedPages: number } {
    const { lastPageNumber, root, free } = this.statistics('meta')
    return { lastPage: lastPageNumber, usedPages: HEADS + this.tablePages() + pagesOf(root) + pagesOf(free) }
  }

  pagesOf(table: TableName): { leafPages: number; branchPages: number } {
    const { treeLeafPageCount, treeBranchPageCount } = this.statistics(table)
    return { leafPages: treeLeafPageCount, branchPages: treeBranchPageCount }
  }

  /** Pages of the list of free pages itself. */
  freeListPages(): number {
    return pagesOf(this.statistics('meta').free)
  }

  private tablePages(): number {
    let pages = 0
    for (const name of tableNames) pages += pagesOf(this.statistics(name))
    return pages
  }

  private statistics(table: TableName): TableStatistics {
    return this.tables[table].getStats() as TableStatistics
  }

  /** Copies the committed state into a folder that exists. */
  async backup(folder: string): Promise<void> {
    await this.root.backup(folder, true)
  }

  async close(): Promise<void> {
    await this.root.close()
  }
}

function pagesOf({ treeBranchPageCount, treeLeafPageCount, overflowPages }: TreeStatistics): number {
  return treeBranchPageCount + treeLeafPageCount + overflowPages
}

function rangeOptions({ start, after, end, limit }: Range) {
  const from = after === undefined ? { start: start ?? FIRST_KEY } : { start: after, exclusiveStart: true }
  return end === undefined ? { ...from, limit } : { ...from, end, limit }
}

/** The package rejects with an error that promises another one, which has the reason. */
async function commitErrorOf(error: unknown): Promise<unknown> {
  if (!(error instanceof Error) || !('commitError' in error)) return error
  try {
    return (await error.commitError) ?? error
  } catch (reason) {
    return reason
  }
}
