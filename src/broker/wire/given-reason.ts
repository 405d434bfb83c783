import type { ClientDisconnectOptions } from '../../ports/client'
import {
  givenBytes,
  givenInteger,
  givenString,
  givenUserProperties,
  invalidValue,
  readFields,
} from '../../ports/given-values'
import type { Denial } from '../../ports/hooks'
import type { ConnackProperties } from '../../protocol/packet'
import { answerOrder, sizeOfProperties } from '../../protocol/property-writer'
import { givenIdentity, identityNames } from './given-identity'

const explanationNames = ['reasonString', 'userProperties', 'serverReference'] as const

/** What a Denial says, but for its code: a copy that can be sent. Throws MqttError for what MQTT cannot carry. */
export function givenDenial(given: unknown): Denial {
  const { reasonCode, ...words } = readFields('denial', given, ['reasonCode', ...explanationNames])
  return { reasonCode: reasonCode as number, ...explanationOf(words) }
}

/** What `client.disconnect` is given. Throws MqttError for what MQTT cannot carry. */
export function givenDisconnect(reasonCode: unknown, options: unknown): ClientDisconnectOptions {
  // another code than those of DISCONNECT is sent as 0x80 [MQTT-3.14.2-1]
  givenInteger('reasonCode', reasonCode, 0, 0xff)
  return explanationOf(readFields('disconnect', options, explanationNames))
}

function explanationOf(given: { [name in (typeof explanationNames)[number]]?: unknown }): ClientDisconnectOptions {
  const words: ClientDisconnectOptions = {}
  const { reasonString, serverReference, userProperties } = given
  if (reasonString !== undefined) words.reasonString = givenString('reasonString', reasonString)
  if (userProperties !== undefined) words.userProperties = givenUserProperties('userProperties', userProperties)
  if (serverReference !== undefined) words.serverReference = givenString('serverReference', serverReference)
  // throws for more than any packet has room for
  const properties: ConnackProperties & ClientDisconnectOptions = words
  sizeOfProperties<ConnackProperties>(properties, answerOrder)
  return words
}

/** A step of an enhanced authentication, copied. Throws MqttError for what MQTT cannot carry. */
export function givenStep(step: unknown, wallTime: number): unknown {
  if (typeof step !== 'object' || step === null) return step
  if ('continue' in step) {
    const given = readFields('step', step, ['continue'])
    return { continue: givenBytes('continue', given.continue, 65_535) }
  }
  if (!('success' in step)) return step
  const { success, data, username, ...terms } = readFields('step', step, [
    'success',
    'data',
    'username',
    ...identityNames,
  ])
  if (success !== true) throw invalidValue('success', 'true', success)
  const identity = givenIdentity(terms, wallTime)
  return {
    success,
    identity,
    ...(data === undefined ? {} : { data: givenBytes('data', data, 65_535) }),
    ...(username === undefined ? {} : { username: givenString('username', username) }),
  }
}
