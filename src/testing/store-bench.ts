import type {
  Change,
  QueueEntry,
  Store,
  StoredMessage,
  StoredSession,
  StoredSessionState,
  StoredShare,
  StoredSubscription,
} from '../ports/store'

/** Where stores of one kind keep what they are given: a folder, a database, or the object itself. */
export interface StorePlace {
  /**
   * A store on this place, not opened. Called again once the store before was closed: what was committed must be there.
   */
  store(): Store | Promise<Store>
  /** Removes the place and all that is in it. Called after each test; every store is closed by then. */
  remove?(): void | Promise<void>
}

/** Makes a new, empty place. Called once for each test. */
export type MakeStorePlace = () => StorePlace | Promise<StorePlace>

/** Defines one test on a new place. */
export type Test = (name: string, run: (bench: StoreBench) => Promise<void>) => void

/** One place and the store that is open on it. */
export class StoreBench {
  store: Store
  private readonly place: StorePlace

  private constructor(place: StorePlace, store: Store) {
    this.place = place
    this.store = store
  }

  /** Runs a test on a new place and removes it afterwards. */
  static async run(makePlace: MakeStorePlace, test: (bench: StoreBench) => Promise<void>): Promise<void> {
    const place = await makePlace()
    try {
      const store = await place.store()
      await store.open()
      const bench = new StoreBench(place, store)
      try {
        await test(bench)
      } finally {
        await bench.store.close()
      }
    } finally {
      await place.remove?.()
    }
  }

  async commit(...changes: Change[]): Promise<void> {
    await this.store.commit(changes)
  }

  /** Closes the store and opens another one on the same place. */
  async reopen(): Promise<void> {
    await this.store.close()
    this.store = await this.place.store()
    await this.store.open()
  }

  /** What the store says at start-up, in the order of the Client Identifiers. */
  async sessions(): Promise<StoredSessionState[]> {
    await this.reopen()
    const states: StoredSessionState[] = []
    for await (const state of this.store.sessions()) states.push(state)
    return states.sort((a, b) => byUnits(a.session.clientId, b.session.clientId))
  }

  async session(clientId: string): Promise<StoredSessionState | undefined> {
    return (await this.sessions()).find(({ session }) => session.clientId === clientId)
  }

  /** The retained messages at start-up, in the order of their topics. */
  async retained(): Promise<StoredMessage[]> {
    await this.reopen()
    const messages: StoredMessage[] = []
    for await (const message of this.store.retained()) messages.push(message)
    return messages.sort((a, b) => byUnits(a.topic, b.topic))
  }

  async queue(clientId: string, after = 0, limit = 1000): Promise<QueueEntry[]> {
    return [...(await this.store.queue(clientId, after, limit))]
  }

  async positions(clientId: string, after = 0, limit = 1000): Promise<number[]> {
    return (await this.queue(clientId, after, limit)).map(({ position }) => position)
  }

  async held(clientId: string): Promise<number[]> {
    return [...(await this.store.held(clientId))].sort((a, b) => a - b)
  }
}

/** The order of strings by their UTF-16 units, whatever the language of the machine. */
export function byUnits(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

// what tests store, whole by default

/** Strings of clients that a store must not take for anything else. */
export const awkwardNames = [
  '__proto__',
  'constructor',
  'a',
  'a/',
  'a/b',
  'A',
  'a\u0001',
  'a\u{10ffff}',
  '€',
  ' ',
  'z'.repeat(300),
]

export function session(clientId: string, parts: Partial<StoredSession> = {}): Change {
  const head = { clientId, username: undefined, expiryInterval: 3600, disconnectedAt: 0, will: undefined, ...parts }
  return { type: 'session', session: head }
}

export function message(topic: string, parts: Partial<StoredMessage> = {}): StoredMessage {
  return { topic, payload: bytes(topic), qos: 1, properties: undefined, expiresAt: undefined, ...parts }
}

export function entry(position: number, parts: Partial<QueueEntry> = {}): QueueEntry {
  return {
    position,
    message: message(`topic/${position}`),
    qos: 1,
    retain: false,
    subscriptionIdentifiers: [],
    packetIdentifier: 0,
    received: false,
    share: undefined,
    ...parts,
  }
}

export function enqueue(clientId: string, position: number, parts: Partial<QueueEntry> = {}): Change {
  return { type: 'enqueue', clientId, entry: entry(position, parts) }
}

export function subscription(filter: string, parts: Partial<StoredSubscription> = {}): StoredSubscription {
  const options = {
    qos: 0,
    noLocal: false,
    retainAsPublished: false,
    retainHandling: 0,
    subscriptionIdentifier: 0,
  } as const
  return { filter, ...options, ...parts }
}

export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

/** The same without the difference between a Buffer and a Uint8Array, or between no properties and empty ones. */
export function plainMessage({ topic, payload, qos, properties, expiresAt }: StoredMessage): object {
  return { topic, payload: hex(payload), qos, properties: hex(properties ?? bytes('')), expiresAt }
}

export function plainEntry({ message, subscriptionIdentifiers, share, ...rest }: QueueEntry): object {
  const { position, qos, retain, packetIdentifier, received } = rest
  const identifiers = [...subscriptionIdentifiers]
  const parts = { position, qos, retain, packetIdentifier, received, identifiers, share: plainShare(share) }
  return { ...parts, message: plainMessage(message) }
}

export function plainShare(share: StoredShare | undefined): object | undefined {
  return share === undefined ? undefined : { filter: share.filter, retain: share.retain }
}

export function plainSession({ clientId, username, expiryInterval, disconnectedAt, will }: StoredSession): object {
  const plainWill =
    will === undefined
      ? undefined
      : {
          retain: will.retain,
          delayInterval: will.delayInterval,
          messageExpiryInterval: will.messageExpiryInterval,
          message: plainMessage(will.message),
        }
  return { clientId, username, expiryInterval, disconnectedAt, will: plainWill }
}

export function plainSubscription(stored: StoredSubscription): object {
  const { filter, qos, noLocal, retainAsPublished, retainHandling, subscriptionIdentifier } = stored
  return { filter, qos, noLocal, retainAsPublished, retainHandling, subscriptionIdentifier }
}

function hex(content: Uint8Array): string {
  return Buffer.from(content.buffer, content.byteOffset, content.byteLength).toString('hex')
}
