import type { Cursor, InboxFrame, LogNews, News, RetainedEntry } from '../../ports/cluster'
import { FrameReader, frameBytes, retainedNews, routeNews } from './log-records'
import { decodeMessage } from './records'
import type { RedisLink } from './redis-link'
import { bytesOf, listOf, type Reply, textOf } from './reply'
import { Script } from './script'
import { inboxScript } from './scripts/reading'

/** Milliseconds that a read waits at the server, before it is sent anew. */
const BLOCK_MS = 5000
/** Entries of a stream that come with one read at most; frames may be large, and then it is one. */
const ENTRIES = 8

/** Waits for what comes to a node, on a connection of its own. */
export class NewsReader {
  private readonly link: RedisLink
  private readonly prefix: string
  private readonly inboxKey: string
  private readonly script = new Script(inboxScript)
  private readonly reader = new FrameReader()
  private count = ENTRIES

  constructor(link: RedisLink, prefix: string, epoch: number) {
    this.link = link
    this.prefix = prefix
    this.inboxKey = `${prefix}in:${epoch}`
  }

  async next(cursor: Cursor, limitBytes: number): Promise<News> {
    for (;;) {
      const reply = await this.link.command(...this.readCommand(cursor))
      if (listOf(reply).length > 0) return this.news(cursor, limitBytes, reply)
      if (await this.isBehind(cursor)) return { frames: [], routes: 'missed', retained: 'missed' }
    }
  }

  private readCommand({ inbox, routes, retained }: Cursor): string[] {
    const keys = [`${this.prefix}rlog`, `${this.prefix}retlog`]
    const after = [`${routes}-0`, `${retained}-0`]
    if (inbox !== undefined) {
      keys.push(this.inboxKey)
      after.push(inbox === '' ? '0' : inbox)
    }
    return ['XREAD', 'COUNT', String(this.count), 'BLOCK', String(BLOCK_MS), 'STREAMS', ...keys, ...after]
  }

  /** Whether the logs have begun anew below what was read of them. */
  private async isBehind({ routes, retained }: Cursor): Promise<boolean> {
    const last = listOf(await this.link.command('HMGET', `${this.prefix}log`, 'rn', 'tn')).map((n) => Number(textOf(n)))
    return last[0]! < routes || last[1]! < retained
  }

  private async news(cursor: Cursor, limitBytes: number, reply: Reply): Promise<News> {
    const { count } = this
    let frames: readonly InboxFrame[] = []
    let routes: News['routes'] = []
    let retained: LogNews<RetainedEntry> = []
    for (const stream of listOf(reply)) {
      const [key, entries] = listOf(stream)
      const name = textOf(key)
      const isFull = listOf(entries).length === count
      if (name === this.inboxKey) frames = await this.frames(cursor, limitBytes, entries, isFull)
      else if (name.endsWith(':rlog'))
        routes = routeNews(cursor.routes, isFull ? await this.rest(name, cursor.routes) : entries)
      else retained = await this.retained(cursor.retained, isFull ? await this.rest(name, cursor.retained) : entries)
    }
    return { frames, routes, retained }
  }

  /** More than one read gives is fetched at once, up to so many bytes. */
  private async frames(
    { inbox }: Cursor,
    limitBytes: number,
    entries: Reply,
    isFull: boolean,
  ): Promise<readonly InboxFrame[]> {
    const count = listOf(entries).length
    const bytes = frameBytes(entries)
    this.count = bytes * 4 > limitBytes ? 1 : Math.min(this.count * 2, ENTRIES)
    const isEnough = (count === 1 && bytes > limitBytes / 4) || (!isFull && bytes <= limitBytes)
    const args = [this.prefix, inbox ?? '', String(limitBytes)]
    const { frames, repeated } = this.reader.read(
      isEnough ? entries : await this.link.run(this.script, [this.inboxKey], args),
    )
    if (repeated.length > 0) await this.link.command('XDEL', this.inboxKey, ...repeated)
    return frames
  }

  private rest(key: string, after: number): Promise<Reply> {
    return this.link.command('XRANGE', key, `(${after}-0`, '+', 'COUNT', '1000')
  }

  private async retained(after: number, entries: Reply): Promise<LogNews<RetainedEntry>> {
    const missing = new Map<number, string>()
    const news = retainedNews(after, entries, missing)
    if (news === 'missed' || missing.size === 0) return news
    const topics = [...new Set(missing.values())]
    const records = listOf(await this.link.command('HMGET', `${this.prefix}ret`, ...topics))
    // a message that has come since is newer: its own entry comes behind
    const read = new Map(topics.map((topic, n) => [topic, records[n]]))
    return news.map((entry) => {
      const record = missing.has(entry.number) ? read.get(entry.topic) : undefined
      return record === undefined || record === null ? entry : { ...entry, message: decodeMessage(bytesOf(record), 0) }
    })
  }
}
