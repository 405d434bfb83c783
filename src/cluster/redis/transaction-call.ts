import type { Transaction } from '../../ports/cluster'
import type { Change, QueueEntry, StoredMessage } from '../../ports/store'
import { encodeEntry, encodeMessage, encodeSession, encodeSubscription, positionKey } from './records'
import type { Argument } from './reply'
import { type QueueChange, SessionBlock } from './session-block'
import type { Call } from './write-line'

/** Bytes of a message that lies in each queue that has it, however many these are. */
const SMALL_MESSAGE = 512
/** The same where only one has it. */
const SINGLE_MESSAGE = 4096
/** Bytes of a retained message that the log has too; what is larger is read from where it is stored. */
const LOGGED_MESSAGE = 4096

/** Gives each message that lies by itself a number that no other has: eight bytes. */
export class MessageNumbers {
  private readonly writer: number
  private last = 0

  /** @param writer A number that no other process has, such as the epoch of a node. */
  constructor(writer: number) {
    this.writer = writer
  }

  next(): Buffer {
    const number = Buffer.alloc(8)
    number.writeUInt32BE(this.writer >>> 0, 0)
    number.writeUInt32BE(++this.last >>> 0, 4)
    return number
  }
}

/** The changes of a transaction, in the order and the parts in which they are sent. */
export class ChangeFold {
  readonly blocks: SessionBlock[] = []
  /** What each topic retains in the end; null clears it. */
  readonly retained = new Map<string, StoredMessage | null>()
  private readonly current = new Map<string, SessionBlock>()
  private readonly storedThrough: (clientId: string) => number

  /** @param storedThrough The position up to which a queue may have entries. */
  constructor(storedThrough: (clientId: string) => number = () => Number.POSITIVE_INFINITY) {
    this.storedThrough = storedThrough
  }

  add(change: Change): void {
    switch (change.type) {
      case 'retain':
        this.setRetained(change.message.topic, change.message)
        return
      case 'clear':
        this.setRetained(change.topic, null)
        return
      default: {
        const clientId = change.type === 'session' ? change.session.clientId : change.clientId
        if (!this.block(clientId).add(change)) this.begin(clientId).add(change)
      }
    }
  }

  /** The last block of a session. */
  block(clientId: string): SessionBlock {
    return this.current.get(clientId) ?? this.begin(clientId)
  }

  private begin(clientId: string): SessionBlock {
    const block = new SessionBlock(clientId, this.storedThrough(clientId))
    this.current.set(clientId, block)
    this.blocks.push(block)
    return block
  }

  /** The log has it where it came last. */
  private setRetained(topic: string, message: StoredMessage | null): void {
    this.retained.delete(topic)
    this.retained.set(topic, message)
  }
}

/** A transaction of a node, or of a store where `node` is undefined, as arguments of the script. */
export class TransactionCall implements Call {
  readonly name = 'transact'
  readonly args: Argument[] = []
  readonly isRemoval: boolean
  bytes = 0
  private readonly numbers: MessageNumbers
  /** Messages of this transaction: in how many queues each is, and its number once it has one. */
  private readonly copies = new Map<StoredMessage, number>()
  private readonly shared = new Map<StoredMessage, Buffer>()

  constructor(fold: ChangeFold, numbers: MessageNumbers, node: Omit<Transaction, 'changes'> | undefined) {
    this.numbers = numbers
    this.isRemoval = isRemoval(fold, node)
    const adopted = new Map(node?.adopted.map(({ clientId, from }) => [clientId, from]))
    const released = new Set(node?.released)
    for (const clientId of [...adopted.keys(), ...released]) fold.block(clientId)
    this.push(node === undefined ? '' : '1', node?.routedAt === undefined ? '' : String(node.routedAt))
    this.countCopies(fold.blocks)
    this.push(String(fold.blocks.length))
    for (const block of fold.blocks) {
      const { clientId } = block
      const isLast = fold.block(clientId) === block
      this.push(clientId, String(node?.epochs.get(clientId) ?? 0))
      this.push(isLast ? String(adopted.get(clientId) ?? '') : '', isLast && released.has(clientId) ? '1' : '')
      this.pushBlock(block)
    }
    this.pushFrames(node)
    this.pushRetained(fold.retained)
    this.push(String(this.shared.size))
    for (const [message, number] of this.shared) this.push(number, encodeMessage(message))
  }

  private countCopies(blocks: readonly SessionBlock[]): void {
    for (const { queue } of blocks)
      for (const { entry } of queue.values())
        if (entry !== undefined) this.copies.set(entry.message, (this.copies.get(entry.message) ?? 0) + 1)
  }

  private pushBlock({ ended, head, held, lastPosition, queue, subscriptions }: SessionBlock): void {
    this.push(ended ? '1' : '', head === undefined ? '' : encodeSession(head), String(lastPosition))
    this.push(String(subscriptions.size))
    for (const [filter, subscription] of subscriptions)
      this.push(filter, subscription === null ? '' : encodeSubscription(subscription))
    this.push(String(queue.size))
    for (const [position, change] of queue) this.pushQueueChange(position, change)
    this.push(String(held.size))
    for (const [identifier, change] of held) this.push(String(identifier), change === 'release' ? '' : '1')
  }

  private pushQueueChange(position: number, { entry, packetIdentifier, received, removed }: QueueChange): void {
    const kind = entry !== undefined ? 'e' : removed === true ? 'd' : 'i'
    this.push(kind, positionKey(position), String(position))
    if (entry !== undefined) {
      this.push(encodeEntry(entry, this.numberOf(entry)), identifierText(entry.packetIdentifier))
      this.push(entry.received ? '1' : '')
    } else if (removed !== true) this.push(identifierText(packetIdentifier ?? 0), received === true ? '1' : '')
  }

  /** Where the message of an entry lies, if not in the entry. */
  private numberOf({ message }: QueueEntry): Buffer | undefined {
    const bytes = message.payload.length + message.topic.length + (message.properties?.length ?? 0)
    const bound = this.copies.get(message) === 1 ? SINGLE_MESSAGE : SMALL_MESSAGE
    if (bytes <= bound) return undefined
    let number = this.shared.get(message)
    if (number === undefined) {
      number = this.numbers.next()
      this.shared.set(message, number)
    }
    return number
  }

  private pushFrames(node: Omit<Transaction, 'changes'> | undefined): void {
    const { frames, taken } = node ?? { frames: [], taken: [] }
    this.push(String(frames.length))
    for (const frame of frames) this.push(String(frame.node), asBuffer(frame.bytes))
    this.push(String(taken.length), ...taken)
  }

  private pushRetained(retained: ReadonlyMap<string, StoredMessage | null>): void {
    this.push(String(retained.size))
    for (const [topic, message] of retained) {
      const record = message === null ? Buffer.alloc(0) : encodeMessage(message)
      this.push(topic, record, message === null ? 'c' : record.length > LOGGED_MESSAGE ? 'l' : 'm')
    }
  }

  private push(...args: readonly Argument[]): void {
    for (const arg of args) {
      this.args.push(arg)
      this.bytes += arg.length
    }
  }
}

function isRemoval(fold: ChangeFold, node: Omit<Transaction, 'changes'> | undefined): boolean {
  if (node !== undefined && (node.frames.length > 0 || node.released.length > 0)) return false
  for (const block of fold.blocks) if (!block.isRemoval) return false
  // a cleared topic of a node has its entry in the log
  for (const message of fold.retained.values()) if (message !== null || node !== undefined) return false
  return true
}

const identifierText = (identifier: number): string => (identifier === 0 ? '' : String(identifier))

export const asBuffer = (bytes: Uint8Array): Buffer =>
  Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
