import type { CompiledRights, Rights } from '../../ports/rights'
import type { QoS } from '../../protocol/packet'
import { compileRights } from '../../rights/compile-rights'

/** Topics whose answers a client has at hand, at the most, and the longest of them: what it makes the broker hold stays small. */
const TOPICS = 16
const LONGEST = 128
/** QoS and RETAIN of a PUBLISH, in its first byte. */
const KIND = 7
/** By which an answer that is known is moved, besides the answer itself. */
const KNOWN = 8

/** The rights of one client, and what they have answered. */
export class ClientRights {
  readonly compiled: CompiledRights
  /** The topic that was asked about last, and what is known of it: a bit for each kind of PUBLISH. */
  private topic: string | null = null
  private answers = 0
  private readonly known = new Map<string, number>()

  /** Throws for what are no rights. */
  constructor(given: Rights) {
    this.compiled = isCompiled(given) ? given : compileRights(given)
  }

  /** Whether the client may publish to a topic; `first` is the first byte of the PUBLISH. */
  mayPublish(topic: string, first: number): boolean {
    if (topic === this.topic && ((this.answers >> (first & KIND)) & 1) === 1) return true
    return this.look(topic, first & KIND)
  }

  private look(topic: string, kind: number): boolean {
    const answers = topic === this.topic ? this.answers : (this.known.get(topic) ?? 0)
    if (((answers >> (kind + KNOWN)) & 1) === 0) return this.ask(topic, kind, answers)
    this.topic = topic
    this.answers = answers
    return ((answers >> kind) & 1) === 1
  }

  private ask(topic: string, kind: number, answers: number): boolean {
    const isAllowed = this.compiled.publish(topic, (kind >> 1) as QoS, (kind & 1) === 1)
    if (topic.length > LONGEST) return isAllowed
    this.topic = topic
    this.answers = answers | (1 << (kind + KNOWN)) | (isAllowed ? 1 << kind : 0)
    if (this.known.size >= TOPICS) this.known.clear()
    this.known.set(topic, this.answers)
    return isAllowed
  }
}

function isCompiled(given: Rights): given is CompiledRights {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) return false
  const { deliver, publish, subscribe } = given as CompiledRights
  return [deliver, publish, subscribe].every((one) => typeof one === 'function')
}
