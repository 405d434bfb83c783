import type { StoredMessage } from '../../ports/store'
import type { Message } from '../../protocol/message'
import type { RetainedMessages } from '../../routing/retained-messages'
import { type JournaledChange, Undoable } from './change'

/** A change of what a topic retains; undefined where it retains nothing. */
export class RetainedStep {
  readonly topic: string
  readonly before: Message | undefined
  readonly after: Message | undefined
  /** Its neighbours among those of its topic that the store has not answered for. */
  former: RetainedStep | null = null
  later: RetainedStep | null = null

  constructor(topic: string, before: Message | undefined, after: Message | undefined) {
    this.topic = topic
    this.before = before
    this.after = after
  }
}

/** What the store holds for a topic, and the last step that it has not answered for. */
interface OpenTopic {
  kept: Message | undefined
  last: RetainedStep | null
}

/** Takes retained messages back that the store has refused: to those that it keeps, or is still to answer for. */
export class RetainedCommits {
  private readonly retained: RetainedMessages
  private readonly open = new Map<string, OpenTopic>()

  constructor(retained: RetainedMessages) {
    this.retained = retained
  }

  /** The store answers later for a commit with this step. */
  begin(step: RetainedStep): void {
    const topic = this.open.get(step.topic)
    if (topic === undefined) this.open.set(step.topic, { kept: step.before, last: step })
    else {
      step.former = topic.last
      if (topic.last !== null) topic.last.later = step
      topic.last = step
    }
  }

  keep(step: RetainedStep): void {
    this.close(step).kept = step.after
  }

  refuse(step: RetainedStep): void {
    const { kept, last } = this.close(step)
    // something newer has come
    if (this.retained.get(step.topic) !== step.after) return
    const before = last === null ? kept : last.after
    if (before === undefined) this.retained.delete(step.topic)
    else this.retained.set(before)
  }

  /** Whether the store is still to answer for a change of the topic. */
  isOpen(topic: string): boolean {
    return this.open.has(topic)
  }

  /** What the topic retains now. */
  current(topic: string): Message | undefined {
    return this.retained.get(topic)
  }

  /** A topic may have a hundred thousand open steps, so each is taken out by its neighbours. */
  private close(step: RetainedStep): OpenTopic {
    const topic = this.open.get(step.topic)!
    const { former, later } = step
    if (former !== null) former.later = later
    if (later !== null) later.former = former
    else topic.last = former
    if (topic.last === null) this.open.delete(step.topic)
    // it may be tried again
    step.former = step.later = null
    return topic
  }
}

type StoredMessageOf = (message: Message) => StoredMessage

/** Either change of what a topic retains. */
abstract class RetainedChange extends Undoable {
  readonly #commits: RetainedCommits
  readonly #step: RetainedStep
  readonly #storedMessage: StoredMessageOf
  #isBegun = false

  constructor(commits: RetainedCommits, step: RetainedStep, storedMessage: StoredMessageOf) {
    super()
    this.#commits = commits
    this.#step = step
    this.#storedMessage = storedMessage
  }

  override begin(): void {
    this.#isBegun = true
    this.#commits.begin(this.#step)
  }

  override keep(): void {
    if (this.#isBegun) this.#commits.keep(this.#step)
    this.#isBegun = false
  }

  undo(): boolean {
    if (!this.#isBegun) this.#commits.begin(this.#step)
    this.#isBegun = false
    this.#commits.refuse(this.#step)
    return false
  }

  /** Whether the store is still to answer for another change of the topic. */
  protected get isOpen(): boolean {
    return this.#commits.isOpen(this.#step.topic)
  }

  /** Whether the topic has what it had after this change. */
  protected get isCurrent(): boolean {
    return this.#commits.current(this.#step.topic) === this.#step.after
  }

  override inverse(): JournaledChange {
    const { topic } = this.#step
    const now = this.#commits.current(topic)
    const step = new RetainedStep(topic, now, now)
    if (now === undefined) return new ReclearChange(this.#commits, step, this.#storedMessage)
    return new RestoreChange(this.#commits, step, this.#storedMessage)
  }
}

export class RetainChange extends RetainedChange {
  readonly type = 'retain'
  readonly message: StoredMessage

  constructor(commits: RetainedCommits, step: RetainedStep, storedMessage: StoredMessageOf) {
    super(commits, step, storedMessage)
    this.message = storedMessage(step.after!)
  }
}

export class ClearChange extends RetainedChange {
  readonly type = 'clear'
  readonly topic: string

  constructor(commits: RetainedCommits, step: RetainedStep, storedMessage: StoredMessageOf) {
    super(commits, step, storedMessage)
    this.topic = step.topic
  }

  /** What the message before has come back for is not cleared again. */
  override undo(): boolean {
    super.undo()
    return this.isDue
  }

  override get isDue(): boolean {
    return this.isCurrent
  }
}

/** Brings the store to what the topic retains in memory: a message. */
class RestoreChange extends RetainChange {
  override undo(): boolean {
    super.undo()
    return true
  }

  override get isBlocked(): boolean {
    return this.isOpen
  }

  override again(): JournaledChange {
    return this.inverse()
  }
}

/** The same where the topic retains nothing. */
class ReclearChange extends ClearChange {
  override undo(): boolean {
    super.undo()
    return true
  }

  override get isDue(): boolean {
    return true
  }

  override get isBlocked(): boolean {
    return this.isOpen
  }

  override again(): JournaledChange {
    return this.inverse()
  }
}
