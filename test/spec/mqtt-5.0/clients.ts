import type { MqttBroker } from '../../../src/mqtt-broker'
import type { MqttBrokerOptions } from '../../../src/options'
import { SimulatedClock } from '../../../src/testing/simulated-clock'
import { connectClient, openClient, startBroker } from '../../support/broker'
import type { ConnectOptions, RawClient } from '../../support/raw-client'

/** An MQTT 5.0 client that has had its CONNACK. */
export function connect(broker: MqttBroker, options: ConnectOptions = {}): Promise<RawClient> {
  return connectClient(broker, { protocolVersion: 5, ...options })
}

/** A client that has sent nothing yet, and reads MQTT 5.0. */
export async function open(broker: MqttBroker): Promise<RawClient> {
  const client = await openClient(broker)
  client.protocolVersion = 5
  return client
}

/** A session that is kept: Clean Start 0 and a Session Expiry Interval in seconds. */
export function persistent(clientId: string, sessionExpiryInterval = 3600): ConnectOptions {
  return { clientId, clean: false, properties: { sessionExpiryInterval } }
}

/** Two connected clients, for what passes from one to the other. */
export async function pair(options: MqttBrokerOptions = {}) {
  const broker = await startBroker(options)
  const subscriber = await connect(broker)
  const publisher = await connect(broker)
  return { broker, subscriber, publisher }
}

/** A broker whose time stands still until the test moves it. */
export async function timed(options: MqttBrokerOptions = {}) {
  const clock = new SimulatedClock()
  const broker = await startBroker({ clock, ...options })
  return { broker, clock }
}

/** Waits for the end of the connection; gives the Reason Code of the CONNACK or DISCONNECT before it, if there was one. */
export async function lastWord(client: RawClient): Promise<number | undefined> {
  await client.closed()
  const packet = client.received.at(-1)
  if (packet?.cmd !== 'connack' && packet?.cmd !== 'disconnect') return undefined
  return packet.reasonCode ?? 0
}

/** The first byte of each packet that arrived, and its length with the fixed header. */
export function sizes(client: RawClient): { first: number; size: number; bytes: Buffer }[] {
  const all = client.receivedBytes
  const found = []
  for (let at = 0; at < all.length; ) {
    let length = 0
    let next = at + 1
    for (let shift = 0; ; shift += 7) {
      const digit = all[next++]!
      length += (digit & 127) << shift
      if (digit < 128) break
    }
    found.push({ first: all[at]!, size: next + length - at, bytes: all.subarray(at, next + length) })
    at = next + length
  }
  return found
}

/** Waits until the broker says that a client has gone, however it went. */
export function gone(broker: MqttBroker, clientId: string): Promise<void> {
  if (!broker.clients.has(clientId)) return Promise.resolve()
  return new Promise((resolve) => {
    const look = (client: { clientId: string }): void => {
      if (client.clientId !== clientId) return
      broker.off('clientDisconnected', look)
      resolve()
    }
    broker.on('clientDisconnected', look)
  })
}
