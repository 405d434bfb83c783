import type { QueueEntry, StoredSessionState } from '../../ports/store'
import { decodeEntry, positionKey } from './records'
import { redisFailed } from './redis-error'
import type { RedisLink } from './redis-link'
import { bytesOf, listOf, numberOf, type Reply, textOf } from './reply'
import { Script } from './script'
import { bytesScript, heldScript, queueScript, viewScript } from './scripts/reading'
import { readView, type SessionView } from './session-view'

/** Reads what is stored of sessions. */
export class SessionReader {
  private readonly link: RedisLink
  private readonly prefix: string
  private readonly scripts = {
    queue: new Script(queueScript),
    held: new Script(heldScript),
    view: new Script(viewScript),
    bytes: new Script(bytesScript),
  }

  constructor(link: RedisLink, prefix: string) {
    this.link = link
    this.prefix = prefix
  }

  async queue(clientId: string, after: number, limit: number): Promise<QueueEntry[]> {
    if (limit <= 0) return []
    const args = [this.prefix, clientId, positionKey(Math.max(after, 0)), String(limit)]
    const rows = await this.link.run(this.scripts.queue, [`${this.prefix}q:${clientId}`], args)
    return listOf(rows).map((row) => {
      const [member, identifier, received, message] = listOf(row)
      return this.damaged(clientId, () =>
        decodeEntry(bytesOf(member), numberOf(identifier), textOf(received) === '1', bytesOf(message)),
      )
    })
  }

  async held(clientId: string): Promise<number[]> {
    return listOf(await this.link.run(this.scripts.held, [`${this.prefix}s:${clientId}`], [])).map(numberOf)
  }

  async state(clientId: string): Promise<StoredSessionState | undefined> {
    const keys = [`${this.prefix}s:${clientId}`, `${this.prefix}q:${clientId}`]
    return (await this.counted(clientId, await this.link.run(this.scripts.view, keys, []))).state
  }

  /** The answer of a script that shows a session. */
  async counted(clientId: string, reply: Reply): Promise<SessionView> {
    const view = this.damaged(clientId, () => readView(clientId, reply))
    if (!view.isUncounted || view.state === undefined) return view
    const bytes = await this.link.run(this.scripts.bytes, [`${this.prefix}q:${clientId}`], [])
    return { ...view, state: { ...view.state, queuedBytes: numberOf(bytes) } }
  }

  private damaged<T>(clientId: string, decode: () => T): T {
    try {
      return decode()
    } catch (cause) {
      throw redisFailed(
        `what Redis has of the session "${clientId}" cannot be read: something else has written it`,
        cause,
      )
    }
  }
}
