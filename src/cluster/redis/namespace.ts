import { invalidValue } from '../../ports/given-values'
import { MqttError } from '../../protocol/mqtt-error'

/** Characters. A name is a part of every key. */
const LONGEST = 64

/**
 * What all keys of a namespace begin with: its name in braces, so that one server of a Redis Cluster has them all. Letters,
 * digits and . _ - : are allowed. Throws GNATMQ_OPTION_INVALID for anything else.
 */
export function prefixOf(namespace: unknown): string {
  if (typeof namespace !== 'string') throw invalidValue('namespace', 'a string', namespace)
  if (!/^[\w.:-]+$/.test(namespace) || namespace.length > LONGEST)
    throw new MqttError(
      'GNATMQ_OPTION_INVALID',
      `namespace is ${JSON.stringify(namespace)}: name it with 1 to ${LONGEST} letters, digits and . _ - :, without spaces and braces`,
    )
  return `{${namespace}}:`
}
