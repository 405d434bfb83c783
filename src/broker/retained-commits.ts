import type { Message } from '../protocol/message'
import type { RetainedMessages } from '../routing/retained-messages'

/** A change of what a topic retains; undefined stands for nothing. */
export interface RetainedStep {
  readonly topic: string
  readonly before: Message | undefined
  readonly after: Message | undefined
}

/** What the store holds for a topic, and what it has not answered for yet, in order. */
interface OpenTopic {
  kept: Message | undefined
  readonly steps: RetainedStep[]
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
      if (topic === undefined) this.open.set(step.topic, { kept: step.before, steps: [step] })
      else topic.steps.push(step)
    }
  }

  keep(steps: readonly RetainedStep[]): void {
    for (const step of steps) this.close(step).kept = step.after
  }

  refuse(steps: readonly RetainedStep[]): void {
    for (const step of steps) {
      const { kept, steps: others } = this.close(step)
      // something newer has come
      if (this.retained.get(step.topic) !== step.after) continue
      const before = others.length === 0 ? kept : others[others.length - 1]!.after
      if (before === undefined) this.retained.delete(step.topic)
      else this.retained.set(before)
    }
  }

  private close(step: RetainedStep): OpenTopic {
    const topic = this.open.get(step.topic)!
    topic.steps.splice(topic.steps.indexOf(step), 1)
    if (topic.steps.length === 0) this.open.delete(step.topic)
    return topic
  }
}
