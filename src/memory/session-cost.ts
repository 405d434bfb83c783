import { bytesCost, Cost, textCost } from './cost'

/** What a session and its record count for, without what waits for it. */
export function sessionCost(clientId: string, username: string | undefined): number {
  return Cost.session + textCost(clientId) + (username === undefined ? 0 : textCost(username))
}

interface Texts {
  readonly contentType?: string | undefined
  readonly responseTopic?: string | undefined
  readonly correlationData?: Uint8Array | undefined
  readonly userProperties?: readonly (readonly [string, string])[] | undefined
}

/** What a Will counts for while it may be published, and with it its record. */
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

/** What a list of User Properties counts for. */
export function userPropertiesCost(properties: Texts['userProperties']): number {
  let cost = 0
  if (properties !== undefined)
    for (const [name, value] of properties) cost += Cost.userProperty + textCost(name) + textCost(value)
  return cost
}
