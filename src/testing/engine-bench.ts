import { ok } from 'node:assert'
import type {
  Claim,
  ClusterEngine,
  ClusterMember,
  Cursor,
  EngineEvents,
  InboxFrame,
  News,
  RouteEntry,
  Transaction,
  TransactionAnswer,
} from '../ports/cluster'

/** What the nodes of one test share. */
export interface EnginePlace {
  /** The engine as one more node sees it. */
  engine(): ClusterEngine | Promise<ClusterEngine>
  /** Returns once so many milliseconds have passed by the engine's clock. */
  elapse(ms: number): void | Promise<void>
  /** How much the engine keeps, in whatever it counts: keys, rows. What is left behind shows here. */
  size(): number | Promise<number>
  /** Removes the place. Called after each test; every node has closed by then. */
  remove?(): void | Promise<void>
}

/** Makes a new, empty place. Called once for each test. */
export type MakeEnginePlace = () => EnginePlace | Promise<EnginePlace>

/** Defines one test on a new place. */
export type EngineTest = (name: string, run: (bench: EngineBench) => Promise<void>) => void

/** Milliseconds. Long enough for a machine that is busy, short enough to wait for. */
export const LEASE_MS = 400

/** How long a condition may take to come true. */
const PATIENCE_MS = 10_000

/** One place and the nodes that have joined on it. */
export class EngineBench {
  readonly place: EnginePlace
  private readonly nodes: TestNode[] = []

  private constructor(place: EnginePlace) {
    this.place = place
  }

  static async run(makePlace: MakeEnginePlace, test: (bench: EngineBench) => Promise<void>): Promise<void> {
    const place = await makePlace()
    try {
      const bench = new EngineBench(place)
      try {
        await test(bench)
      } finally {
        await Promise.all(bench.nodes.map(({ member }) => member.close()))
      }
    } finally {
      await place.remove?.()
    }
  }

  /** A node whose lease outlasts the test, unless `leaseMs` is given. */
  async join(nodeId: string, parts: { leaseMs?: number; format?: number } = {}): Promise<TestNode> {
    const engine = await this.place.engine()
    const node = new TestNode()
    const joining = { nodeId, description: `the node ${nodeId}`, format: 1, leaseMs: 60_000, ...parts }
    node.member = await engine.join(joining, node)
    this.nodes.push(node)
    return node
  }

  /** A node, and then the end of its lease. */
  async joinAndLapse(nodeId: string, before?: (node: TestNode) => Promise<void>): Promise<TestNode> {
    const node = await this.join(nodeId, { leaseMs: LEASE_MS })
    await before?.(node)
    await this.place.elapse(LEASE_MS + 1)
    return node
  }

  /** Several nodes at once. */
  async joinAll<N extends string>(...nodeIds: N[]): Promise<Record<N, TestNode>> {
    const joined = {} as Record<N, TestNode>
    for (const nodeId of nodeIds) joined[nodeId] = await this.join(nodeId)
    return joined
  }
}

/** A node as a test drives it, which remembers what the engine tells it. */
export class TestNode implements EngineEvents {
  member!: ClusterMember
  readonly frames: string[] = []
  readonly kicks: string[] = []
  readonly releases: string[] = []
  cursor: Cursor = { inbox: '', routes: 0, retained: 0 }

  get epoch(): number {
    return this.member.epoch
  }

  frame(bytes: Uint8Array): void {
    this.frames.push(text(bytes))
  }

  kicked(clientId: string): void {
    this.kicks.push(clientId)
  }

  released(clientId: string): void {
    this.releases.push(clientId)
  }

  unavailable(): void {}

  available(): void {}

  /** A session that this node holds from now on. */
  async hold(clientId: string): Promise<Claim> {
    const claim = await this.claim(clientId)
    ok(claim.heldBy === undefined, `${clientId} is held by ${claim.heldBy}`)
    return claim
  }

  async claim(clientId: string): Promise<Claim> {
    const claim = await this.member.claim(clientId)
    if (claim === 'lapsed') throw new Error('the lease is over')
    return claim
  }

  transact(parts: Partial<Transaction>): Promise<TransactionAnswer> {
    return this.member.transact({
      changes: [],
      epochs: new Map(),
      routedAt: undefined,
      frames: [],
      taken: [],
      adopted: [],
      released: [],
      ...parts,
    })
  }

  /** The same, which is to be kept. */
  async keep(parts: Partial<Transaction>): Promise<number> {
    const answer = await this.transact(parts)
    if (answer.type !== 'kept') throw new Error(`it was not kept: ${answer.type}`)
    return answer.retained
  }

  /** Reads on, and moves the cursor. */
  async next(limitBytes = 1_000_000): Promise<News> {
    const news = await this.member.next(this.cursor, limitBytes)
    const { inbox, routes, retained } = this.cursor
    this.cursor = {
      inbox: news.frames.at(-1)?.position ?? inbox,
      routes: lastOf(news.routes, routes),
      retained: lastOf(news.retained, retained),
    }
    return news
  }

  /** Reads on until so many frames have come. */
  async nextFrames(count: number): Promise<InboxFrame[]> {
    const frames: InboxFrame[] = []
    while (frames.length < count) frames.push(...(await this.next()).frames)
    return frames
  }

  /** Reads on until a route entry of this number has come. */
  async nextRoutes(number: number): Promise<RouteEntry[]> {
    const entries: RouteEntry[] = []
    while (this.cursor.routes < number) {
      const { routes } = await this.next()
      if (routes === 'missed') throw new Error('the log was trimmed')
      entries.push(...routes)
    }
    return entries
  }

  /** Binds a key in the own table. */
  async bind(key: string): Promise<number> {
    const place = await this.member.changeRoutes([{ key, value: bytesOf('1') }], true)
    if (place === 'lapsed') throw new Error('the lease is over')
    return place.number
  }

  /** The tables of all nodes: snapshot, and the log behind it. */
  async tables(): Promise<Record<string, string>> {
    const { number, rows } = await this.member.routes()
    const tables: Record<string, string> = {}
    for await (const page of rows) for (const { node, key, value } of page) tables[`${node} ${key}`] = text(value)
    const answer = await this.transact({ routedAt: number })
    if (answer.type === 'stale' && answer.routes !== 'missed')
      for (const { changes } of answer.routes)
        for (const { node, key, value } of changes)
          if (value === undefined) delete tables[`${node} ${key}`]
          else tables[`${node} ${key}`] = text(value)
    return tables
  }
}

function lastOf(entries: 'missed' | readonly { readonly number: number }[], before: number): number {
  return entries === 'missed' ? before : (entries.at(-1)?.number ?? before)
}

export const bytesOf = (content: string): Uint8Array => Buffer.from(content)

export const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString()

/** Waits for what an engine tells. */
export async function eventually(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + PATIENCE_MS
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`it did not come true: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}
