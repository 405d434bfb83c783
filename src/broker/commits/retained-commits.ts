import type { Message } from '../../protocol/message'
import type { RetainedMessages } from '../../routing/retained-messages'

/** A change of what a topic retains; undefined stands for nothing. */
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

  /** The store answers later for a commit with these steps. */
  begin(steps: readonly RetainedStep[]): void {
    for (const step of steps) {
      const topic = this.open.get(step.topic)
      if (topic === undefined) this.open.set(step.topic, { kept: step.before, last: step })
      else {
        step.former = topic.last
        if (topic.last !== null) topic.last.later = step
        topic.last = step
      }
    }
  }

  keep(steps: readonly RetainedStep[]): void {
    for (const step of steps) this.close(step).kept = step.after
  }

  refuse(steps: readonly RetainedStep[]): void {
    for (const step of steps) {
      const { kept, last } = this.close(step)
      // something newer has come
      if (this.retained.get(step.topic) !== step.after) continue
      const before = last === null ? kept : last.after
      if (before === undefined) this.retained.delete(step.topic)
      else this.retained.set(before)
    }
  }

  /** A topic may have a hundred thousand open steps, so each is taken out by its neighbours. */
  private close(step: RetainedStep): OpenTopic {
    const topic = this.open.get(step.topic)!
    const { former, later } = step
    if (former !== null) former.later = later
    if (later !== null) later.former = former
    else topic.last = former
    if (topic.last === null) this.open.delete(step.topic)
    return topic
  }
}
