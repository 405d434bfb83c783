import { MqttError } from '../protocol/mqtt-error'
import { topicFilterError } from '../protocol/topic'
import { givenString, invalidValue, readFields } from './given-values'

/**
 * What `broker.revoke` takes away. Without `filter`: the connections and sessions of a Client Identifier, or of a user. With
 * it: subscriptions, those of everybody, of one Client Identifier or of one user.
 */
export interface RevocationTarget {
  readonly clientId?: string | undefined
  readonly username?: string | undefined
  /** Ends subscriptions whose filter it covers; with `$share/NAME/` those that are the same. */
  readonly filter?: string | undefined
}

/** What `broker.revoke` has ended. */
export interface Revoked {
  connections: number
  sessions: number
  subscriptions: number
}

/** The target that the application gives. Throws GNATMQ_OPTION_INVALID, GNATMQ_OPTION_UNKNOWN or GNATMQ_TOPIC_FILTER_INVALID. */
export function givenTarget(given: unknown): RevocationTarget {
  const { clientId, username, filter } = readFields('target', given, ['clientId', 'username', 'filter'])
  const target: { -readonly [name in keyof RevocationTarget]: string } = {}
  if (clientId !== undefined) target.clientId = givenString('clientId', clientId)
  if (username !== undefined) target.username = givenString('username', username)
  if (filter !== undefined) {
    target.filter = givenString('filter', filter)
    const error = topicFilterError(target.filter, Number.POSITIVE_INFINITY)
    if (error !== undefined) throw new MqttError('GNATMQ_TOPIC_FILTER_INVALID', error)
  }
  if (Object.keys(target).length === 0)
    throw invalidValue('target', 'an object with clientId, username or filter', given)
  return target
}
