import type { Client } from '../../ports/client'
import type { Session } from '../../session/session'

/** The client of a session that a store brought back: known by name, not connected. */
export class AbsentClient implements Client {
  readonly clientId: string
  readonly username: string | undefined
  readonly protocolVersion = 5
  readonly clean = false
  readonly keepAlive = 0
  readonly userProperties = []
  readonly remoteAddress = undefined
  readonly remotePort = undefined
  readonly servername = undefined
  readonly certificate = undefined
  readonly tlsVersion = undefined
  readonly connectedAt = new Date(0)
  readonly connected = false
  readonly expiresAt = undefined
  readonly rights = undefined
  readonly limits = undefined
  data: unknown = undefined

  constructor(session: Session) {
    this.clientId = session.clientId
    this.username = session.username
  }

  get signal(): AbortSignal {
    return AbortSignal.abort()
  }

  setRights(): Promise<void> {
    return Promise.resolve()
  }

  setLimits(): void {}

  disconnect(): void {}
}
