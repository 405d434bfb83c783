import {
  givenBoolean,
  givenInteger,
  givenSignal,
  givenString,
  invalidValue,
  readFields,
} from '../../ports/given-values'
import { MqttError } from '../../protocol/mqtt-error'
import type { QoS } from '../../protocol/packet'
import { topicFilterError } from '../../protocol/topic'

/** How the application subscribes. */
export interface ApplicationSubscribeOptions {
  /** With 1 or 2 the handler's promise is the acknowledgement. Default: 0, with `durable` 1. */
  qos?: QoS
  /** Ends the subscription. */
  signal?: AbortSignal
  /** The Share Name of a shared subscription that this is a member of. */
  group?: string
  /** Leaves out what the application itself publishes. Default: false. */
  noLocal?: boolean
  /** The name of a session that outlasts the subscription, and the broker where its store does. Wants QoS 1 or 2. */
  durable?: string
  /** Seconds that a durable session is kept while nothing subscribes with its name. Default: 4,294,967,295, which is for ever. */
  expiresAfter?: number
  /** Messages that the handler may have at a time: the Receive Maximum. 1 is strictly one after the other. Default: 64. */
  receiveMaximum?: number
}

/** The same, checked and filled. */
export interface SubscribeOptions {
  readonly qos: QoS
  readonly signal: AbortSignal | undefined
  readonly group: string | undefined
  readonly noLocal: boolean
  readonly durable: string | undefined
  readonly expiresAfter: number
  readonly receiveMaximum: number
}

const names = ['qos', 'signal', 'group', 'noLocal', 'durable', 'expiresAfter', 'receiveMaximum'] as const
const LONGEST_NAME = 1024
const FOR_EVER = 0xffffffff

/** Throws GNATMQ_OPTION_UNKNOWN or GNATMQ_OPTION_INVALID. */
export function givenSubscribeOptions(given: unknown): SubscribeOptions {
  const fields = readFields('subscribe', given, names)
  const { group, durable, expiresAfter, noLocal = false, receiveMaximum = 64, signal } = fields
  const { qos = durable === undefined ? 0 : 1 } = fields
  if (qos !== 0 && qos !== 1 && qos !== 2) throw invalidValue('qos', '0, 1 or 2', qos)
  if (durable !== undefined && qos === 0) throw invalidValue('qos', '1 or 2 where durable is given', qos)
  if (expiresAfter !== undefined && durable === undefined)
    throw new MqttError('GNATMQ_OPTION_INVALID', 'expiresAfter is for a durable subscription: give durable too')
  if (group !== undefined && noLocal === true)
    throw new MqttError('GNATMQ_OPTION_INVALID', 'a shared subscription has no noLocal [MQTT-3.8.3-4]')
  return {
    qos,
    signal: signal === undefined ? undefined : givenSignal(signal),
    group: group === undefined ? undefined : givenGroup(group),
    noLocal: givenBoolean('noLocal', noLocal),
    durable: durable === undefined ? undefined : givenName(durable),
    expiresAfter: expiresAfter === undefined ? FOR_EVER : givenInteger('expiresAfter', expiresAfter, 1, FOR_EVER),
    receiveMaximum: givenInteger('receiveMaximum', receiveMaximum, 1, 65_535),
  }
}

function givenGroup(value: unknown): string {
  const group = givenString('group', value)
  const isName = group !== '' && !/[/+#]/.test(group) && topicFilterError(`$share/${group}/a`, 3) === undefined
  if (!isName) throw invalidValue('group', 'a Share Name without /, + and #', value)
  return group
}

function givenName(value: unknown): string {
  const name = givenString('durable', value)
  const length = Buffer.byteLength(name)
  if (length < 1 || length > LONGEST_NAME || name.includes('\0'))
    throw invalidValue('durable', `a name of 1 to ${LONGEST_NAME} bytes`, value)
  return name
}

/** Throws GNATMQ_OPTION_INVALID or GNATMQ_TOPIC_FILTER_INVALID. */
export function givenFilter(filter: unknown, maximumLevels: number): string {
  if (typeof filter !== 'string') throw invalidValue('the Topic Filter', 'a string', filter)
  const error = topicFilterError(filter, maximumLevels)
  if (error !== undefined || filter.startsWith('$share/'))
    throw new MqttError(
      'GNATMQ_TOPIC_FILTER_INVALID',
      error ?? 'a shared subscription of the application has the option group',
    )
  return filter
}
