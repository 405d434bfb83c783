import { invalidValue, readFields } from '../ports/given-values'
import type { CompiledRights, Right } from '../ports/rights'
import { MqttError } from '../protocol/mqtt-error'
import type { QoS } from '../protocol/packet'
import { topicFilterError } from '../protocol/topic'
import { NOTHING, RightTree } from './right-tree'

const actions = ['publish', 'subscribe', 'deliver'] as const
const names = ['permission', 'action', 'filter', 'qos', 'retain'] as const

/** What is allowed and what is denied of one action. */
class ActionRights {
  readonly allowed = new RightTree()
  readonly denied = new RightTree()

  /** The highest QoS for messages of a topic. */
  highest(topic: string, retain: boolean): number {
    return this.denied.highest(topic, retain) === NOTHING ? this.allowed.highest(topic, retain) : NOTHING
  }
}

/** Compiles rights, so that a question costs by the levels of its topic and not by their number. Throws GNATMQ_OPTION_INVALID, GNATMQ_OPTION_UNKNOWN or GNATMQ_TOPIC_FILTER_INVALID. */
export function compileRights(rights: readonly Right[]): CompiledRights {
  if (!Array.isArray(rights)) throw invalidValue('rights', 'a list of rights', rights)
  const publish = new ActionRights()
  const subscribe = new ActionRights()
  const deliver = new ActionRights()
  const list = Object.freeze(rights.map((given: unknown) => Object.freeze(givenRight(given))))
  for (const { permission, action, filter, qos = 2, retain } of list) {
    const one = action === 'publish' ? publish : action === 'subscribe' ? subscribe : deliver
    if (permission === 'allow') one.allowed.add(filter, qos, retain)
    else one.denied.add(filter, qos, retain)
  }
  return {
    list,
    guardsDelivery: !(deliver.allowed.isEmpty && deliver.denied.isEmpty),
    publish: (topic, qos, retain) => publish.highest(topic, retain) >= qos,
    subscribe: (filter, qos) => {
      if (subscribe.denied.overlaps(filter)) return false
      const highest = subscribe.allowed.highest(filter, false)
      if (highest >= qos) return true
      return highest === NOTHING ? false : { qos: highest as QoS }
    },
    deliver: (topic, qos) => deliver.highest(topic, false) >= qos,
  }
}

function givenRight(given: unknown): Right {
  const { permission, action, filter, qos, retain } = readFields('right', given, names)
  if (permission !== 'allow' && permission !== 'deny') throw invalidValue('permission', "'allow' or 'deny'", permission)
  if (!actions.some((one) => one === action)) throw invalidValue('action', `one of ${actions.join(', ')}`, action)
  if (typeof filter !== 'string') throw invalidValue('filter', 'a Topic Filter', filter)
  const error = filter.startsWith('$share/')
    ? 'it may not begin with $share/'
    : topicFilterError(filter, Number.POSITIVE_INFINITY)
  if (error !== undefined) throw new MqttError('GNATMQ_TOPIC_FILTER_INVALID', `filter of a right: ${error}`)
  if (qos !== undefined && qos !== 0 && qos !== 1 && qos !== 2) throw invalidValue('qos', '0, 1 or 2', qos)
  if (qos !== undefined && permission === 'deny') throw invalidValue('qos', 'left out where permission is deny', qos)
  if (retain !== undefined && typeof retain !== 'boolean') throw invalidValue('retain', 'true or false', retain)
  if (retain !== undefined && action !== 'publish') throw invalidValue('retain', 'left out but with publish', retain)
  const right = { permission, action: action as Right['action'], filter } as const
  return { ...right, ...(qos === undefined ? {} : { qos }), ...(retain === undefined ? {} : { retain }) }
}
