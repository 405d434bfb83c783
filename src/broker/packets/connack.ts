import { disregard, givenString } from '../../ports/given-values'
import type { ConnackProperties, ConnectPacket, QoS } from '../../protocol/packet'
import type { Session } from '../../session/session'
import type { ClientHandle } from '../wire/client-handle'
import type { BrokerSettings } from '../wire/settings'

/** The properties of a CONNACK with success (MQTT 5.0 section 3.2.2.3): only what differs from the specification's defaults. */
export function connackProperties(
  settings: BrokerSettings,
  packet: ConnectPacket,
  client: ClientHandle,
  session: Session,
  authenticationData: Uint8Array | undefined,
): ConnackProperties {
  const properties: ConnackProperties = brokerProperties(settings)
  const { authenticationMethod, requestResponseInformation, sessionExpiryInterval = 0 } = packet.properties
  if (authenticationMethod !== undefined) {
    // [MQTT-4.12.0-5]
    properties.authenticationMethod = authenticationMethod
    if (authenticationData !== undefined) properties.authenticationData = authenticationData
  }
  if (packet.clientId === '') properties.assignedClientIdentifier = client.clientId
  if (session.expiryInterval !== sessionExpiryInterval) properties.sessionExpiryInterval = session.expiryInterval
  if (client.keepAlive !== packet.keepAlive) properties.serverKeepAlive = client.keepAlive
  if (requestResponseInformation === true) {
    const responseInformation = responseInformationFor(settings, client)
    if (responseInformation !== undefined) properties.responseInformation = responseInformation
  }
  return properties
}

/** What MQTT cannot carry is left out and logged. */
function responseInformationFor({ logger, responseInformation }: BrokerSettings, client: ClientHandle) {
  try {
    const answer: unknown = responseInformation?.(client)
    disregard(answer)
    return answer === undefined ? undefined : givenString('the answer of responseInformation', answer)
  } catch (err) {
    logger.error({ err, clientId: client.clientId }, 'responseInformation failed: the client gets none')
    return undefined
  }
}

function brokerProperties(settings: BrokerSettings): ConnackProperties {
  const properties: ConnackProperties = { maximumPacketSize: settings.maximumPacketSize }
  if (settings.receiveMaximum < 65535) properties.receiveMaximum = settings.receiveMaximum
  if (settings.topicAliasMaximum > 0) properties.topicAliasMaximum = settings.topicAliasMaximum
  if (settings.maximumQoS < 2) properties.maximumQoS = settings.maximumQoS as Exclude<QoS, 2>
  if (!settings.retainAvailable) properties.retainAvailable = false
  if (!settings.wildcardSubscriptionAvailable) properties.wildcardSubscriptionAvailable = false
  if (!settings.subscriptionIdentifiersAvailable) properties.subscriptionIdentifiersAvailable = false
  if (!settings.sharedSubscriptionAvailable) properties.sharedSubscriptionAvailable = false
  return properties
}
