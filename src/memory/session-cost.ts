import { bytesCost, Cost, textCost } from './cost'

/** Bytes of a session and its record in the store, without its queue. */
export function sessionCost(clientId: string, username: string | undefined): number {
  return Cost.session + textCost(clientId) + (username === undefined ? 0 : textCost(username))
}

interface Texts {
  readonly contentType?: string | undefined
  readonly responseTopic?: string | undefined
  readonly correlationData?: Uint8Array | undefined
  readonly userProperties?: readonly (readonly [string, string])[] | undefined
}

/** Bytes of a Will while it may be published, with its record in the store. */
export function willCost(will: {
  readonly topic: string
  readonly payload: Uint8Array
  readonly properties: Texts
}): number {
  const { contentType, correlationData, responseTopic, userProperties } = will.properties
  let cost = Cost.will + textCost(will.topic) + bytesCost(will.payload.length) + userPropertiesCost(userProperties)
  if (contentType !== undefined) cost += textCost(contentType)
  if (responseTopic !== undefined) cost += textCost(responseTopic)
  if (correlationData !== undefined) cost += bytesCost(correlationData.length)
  return cost
}

/** Bytes of a list of User Properties. */
export function userPropertiesCost(properties: Texts['userProperties']): number {
  let cost = 0
  if (properties !== undefined)
    for (const [name, value] of properties) cost += Cost.userProperty + textCost(name) + textCost(value)
  return cost
}
