import { closed, redisFailed, refused, serverWord } from './redis-error'
import type { RedisLink } from './redis-link'
import { type Argument, listOf, type Reply, textOf } from './reply'
import { Script } from './script'
import { batchScript } from './scripts/batch'

/** What one batch holds at most. */
const BATCH_CALLS = 512
const BATCH_BYTES = 4 * 1024 * 1024

/** A call of the batch script. */
export interface Call {
  readonly name: string
  readonly args: readonly Argument[]
  /** Bytes of its arguments, roughly. */
  readonly bytes: number
  /** Whether it only takes away what may be taken away twice: then it goes on where there is no memory left. */
  readonly isRemoval: boolean
}

interface Waiting extends Call {
  readonly resolve: (reply: Reply | 'lapsed') => void
  readonly reject: (error: unknown) => void
}

export interface WriterIdentity {
  readonly prefix: string
  readonly epoch: number
  /** The connection that may write for a node, as the hash of the node has it. */
  readonly token: string
  /** How many replicas have to have a call before it is answered. */
  readonly replicas: number
}

/**
 * The calls of a node that change something: one batch at a time, each with the calls of the turns since the last one was sent. So calls
 * take effect in their order and once, whatever becomes of the connection, and what waits costs one round trip in all.
 */
export class WriteLine {
  private readonly link: RedisLink
  private readonly script = new Script(batchScript)
  private readonly identity: WriterIdentity
  private waiting: Waiting[] = []
  private batches = 0
  private isRunning = false
  private isClosed = false
  private idle: (() => void)[] = []

  constructor(link: RedisLink, identity: WriterIdentity) {
    this.link = link
    this.identity = identity
  }

  /** 'lapsed' if this node may not write any more. Rejects when Redis refuses it, and nothing of it was done. */
  submit(call: Call): Promise<Reply | 'lapsed'> {
    if (this.isClosed) return Promise.reject(closed())
    return new Promise((resolve, reject) => {
      this.waiting.push({ ...call, resolve, reject })
      if (this.isRunning) return
      this.isRunning = true
      // not before the turn is over, so that its calls go together
      setImmediate(() => void this.run())
    })
  }

  /** Settles once nothing waits. */
  async drained(): Promise<void> {
    if (this.isRunning) await new Promise<void>((resolve) => this.idle.push(resolve))
  }

  /** What waits is rejected. */
  close(): void {
    this.isClosed = true
    for (const { reject } of this.waiting.splice(0)) reject(closed())
  }

  private async run(): Promise<void> {
    while (this.waiting.length > 0) await this.send(this.nextBatch())
    this.isRunning = false
    for (const resolve of this.idle.splice(0)) resolve()
  }

  private nextBatch(): Waiting[] {
    let bytes = 0
    let count = 0
    for (const call of this.waiting) {
      bytes += call.bytes
      if (count === BATCH_CALLS || (count > 0 && bytes > BATCH_BYTES)) break
      count++
    }
    return this.waiting.splice(0, count)
  }

  private async send(batch: readonly Waiting[]): Promise<void> {
    let reply: Reply
    try {
      const { replicas } = this.identity
      reply = await this.link.runReplicated(this.script, [this.key], this.argumentsOf(batch), replicas)
    } catch (error) {
      await this.afterRefusal(batch, error)
      return
    }
    const [outcome, answers] = listOf(reply)
    if (textOf(outcome) === 'lapsed') for (const { resolve } of batch) resolve('lapsed')
    else for (const [n, answer] of listOf(answers).entries()) this.settle(batch[n]!, answer)
  }

  private get key(): string {
    return `${this.identity.prefix}n:${this.identity.epoch}`
  }

  private argumentsOf(batch: readonly Waiting[]): Argument[] {
    const { prefix, epoch, token } = this.identity
    const isThin = batch.every(({ isRemoval }) => isRemoval)
    const args: Argument[] = [prefix, String(epoch), token, String(++this.batches), isThin ? '1' : '']
    for (const call of batch) {
      args.push(call.name, String(call.args.length))
      for (const arg of call.args) args.push(arg)
    }
    return args
  }

  /** Without memory each goes by itself, because those that take away may go on. */
  private async afterRefusal(batch: readonly Waiting[], error: unknown): Promise<void> {
    if (batch.length > 1 && serverWord((error as Error).cause) === 'OOM')
      for (const call of batch) await this.send([call])
    else for (const { reject } of batch) reject(error)
  }

  private settle({ resolve, reject }: Waiting, answer: Reply): void {
    const [outcome, value] = listOf(answer)
    if (textOf(outcome) === 'ok') resolve(value)
    else if (textOf(outcome) === 'error') reject(refused(new Error(textOf(value))))
    else reject(redisFailed(`Redis has answered what was not expected: ${textOf(outcome)}`))
  }
}
