import { readFileSync } from 'node:fs'
import type { ConnectionOptions } from 'node:tls'
import { connect, type IClientOptions, type MqttClient } from 'mqtt'
import { onTestFinished } from 'vitest'
import type { ForeignClients, Publication, Received, Target } from './foreign-clients'

/** MQTT.js, in this process. */

/** How MQTT.js is told where to connect. The certificate and its host name are checked, as is its default. */
function targetOptions({ version, host, port, caFile }: Target): IClientOptions {
  const protocol =
    version === 3 ? { protocolVersion: 3 as const, protocolId: 'MQIsdp' as const } : { protocolVersion: version }
  const tls =
    caFile === undefined ? { protocol: 'mqtt' as const } : { protocol: 'mqtts' as const, ca: readFileSync(caFile) }
  return { ...protocol, ...tls, host, port, reconnectPeriod: 0, connectTimeout: 10_000 }
}

/** What MQTT.js passes on to Node's `tls.connect` belongs to its options, too. */
export type ClientOptions = IClientOptions & Pick<ConnectionOptions, 'minVersion' | 'maxVersion' | 'ciphers'>

/** A client that is not connected yet, and ends with its test. */
export function mqttJsClient(target: Target, options: ClientOptions = {}): MqttClient {
  const client = connect({ ...targetOptions(target), ...options })
  client.on('error', () => undefined)
  onTestFinished(() => client.endAsync(true).catch(() => undefined))
  return client
}

/** A client after its CONNACK. Rejects when it is refused. */
export async function connected(target: Target, options: ClientOptions = {}): Promise<MqttClient> {
  const client = mqttJsClient(target, options)
  await new Promise<void>((resolve, reject) => {
    client.once('connect', () => resolve())
    client.once('error', reject)
    client.once('close', () => reject(new Error('the connection was closed')))
  })
  return client
}

/** Topic and text of the next message. */
export const nextMessage = (client: MqttClient): Promise<[topic: string, text: string]> =>
  new Promise((resolve) => client.once('message', (topic, payload) => resolve([topic, payload.toString()])))

const sessionOptions = (target: Target, persistent: boolean): IClientOptions => ({
  clean: !persistent,
  ...(persistent && target.version === 5 ? { properties: { sessionExpiryInterval: 3600 } } : {}),
})

const willOptions = (will: Publication): IClientOptions => ({
  will: { topic: will.topic, payload: Buffer.from(will.payload), qos: will.qos, retain: will.retain ?? false },
})

export const mqttJs: ForeignClients = {
  name: 'MQTT.js',
  missing: undefined,

  async publish(target, { topic, payload, qos, retain = false, clientId }) {
    const client = await connected(target, clientId === undefined ? {} : { clientId })
    await client.publishAsync(topic, payload, { qos, retain })
    await client.endAsync()
  },

  subscribe(target, { filters, qos, clientId, persistent = false, will, leaves = false }) {
    const received: Received[] = []
    const options = {
      clientId,
      ...sessionOptions(target, persistent),
      ...(will === undefined ? {} : willOptions(will)),
    }
    const client = mqttJsClient(target, options)
    client.on('message', (topic, payload, packet) => {
      received.push({ topic, payload: payload.toString(), qos: packet.qos, retain: packet.retain })
    })
    client.on('connect', () => client.subscribe(filters, { qos }, () => leaves && client.end()))
    return {
      received,
      async kill() {
        client.stream.destroy()
        await client.endAsync(true)
      },
    }
  },
}
