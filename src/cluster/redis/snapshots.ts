import type { RouteRow, Snapshot } from '../../ports/cluster'
import type { StoredMessage } from '../../ports/store'
import { decodeMessage } from './records'
import type { RedisLink } from './redis-link'
import { bytesOf, listOf, numberOf, pairsOf, type Reply, textOf } from './reply'

/** Fields that are read in one go, and how many bytes of them are meant to come. */
const FIRST_COUNT = 64
const LARGEST_COUNT = 1024
const PAGE_BYTES = 1024 * 1024

/** Reads a hash in pages of about so many bytes, while it changes. */
async function* scanHash(link: RedisLink, key: string): AsyncGenerator<(readonly [string, Buffer])[]> {
  let cursor = '0'
  let count = FIRST_COUNT
  do {
    const [next, fields] = listOf(await link.command('HSCAN', key, cursor, 'COUNT', String(count)))
    cursor = textOf(next)
    const page = [...pairsOf(fields)].map(([name, value]) => [textOf(name), bytesOf(value)] as const)
    const bytes = page.reduce((sum, [, value]) => sum + value.length, 1)
    count = Math.max(1, Math.min(LARGEST_COUNT, Math.floor((PAGE_BYTES * Math.max(page.length, 1)) / bytes)))
    yield page
  } while (cursor !== '0')
}

/** What is read whole, with the number of the log that it begins at. */
export class Snapshots {
  private readonly link: RedisLink
  private readonly prefix: string

  constructor(link: RedisLink, prefix: string) {
    this.link = link
    this.prefix = prefix
  }

  async routes(): Promise<Snapshot<RouteRow>> {
    const number = await this.logNumber('rn')
    const nodes = listOf(await this.link.command('HKEYS', `${this.prefix}nodes`)).map(numberOf)
    return { number, rows: this.routeRows(nodes) }
  }

  private async *routeRows(nodes: readonly number[]): AsyncGenerator<RouteRow[]> {
    for (const node of nodes)
      for await (const page of scanHash(this.link, `${this.prefix}r:${node}`))
        yield page.map(([key, value]) => ({ node, key, value }))
  }

  async retained(): Promise<Snapshot<StoredMessage>> {
    return { number: await this.logNumber('tn'), rows: this.retainedRows() }
  }

  async *retainedRows(): AsyncGenerator<StoredMessage[]> {
    for await (const page of scanHash(this.link, `${this.prefix}ret`))
      yield page.map(([, record]) => decodeMessage(record, 0))
  }

  private async logNumber(field: string): Promise<number> {
    const reply: Reply = await this.link.command('HGET', `${this.prefix}log`, field)
    return numberOf(reply)
  }
}
