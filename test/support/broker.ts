import { onTestFinished } from 'vitest'
import { MqttBroker } from '../../src/mqtt-broker'
import type { MqttBrokerOptions } from '../../src/options'
import type { Client } from '../../src/ports/client'
import { type ConnectOptions, RawClient } from './raw-client'

/** A broker on a free port of the loopback interface, stopped when the test has finished, passed or not. */
export async function startBroker(options: MqttBrokerOptions = {}): Promise<MqttBroker> {
  const broker = await MqttBroker.start({ port: 0, ...options })
  onTestFinished(() => broker.stop())
  return broker
}

/** Runs a test against a broker, and stops it afterwards. */
export async function withBroker(
  options: MqttBrokerOptions,
  run: (broker: MqttBroker) => void | Promise<void>,
): Promise<void> {
  const broker = await MqttBroker.start({ port: 0, ...options })
  try {
    await run(broker)
  } finally {
    await broker.stop()
  }
}

/** A raw client that has had its CONNACK, destroyed when the test has finished. */
export async function connectClient(broker: MqttBroker, options: ConnectOptions = {}): Promise<RawClient> {
  const client = await openClient(broker)
  await client.connect(options)
  return client
}

/** A raw client that has sent nothing yet, destroyed when the test has finished. */
export async function openClient(broker: MqttBroker): Promise<RawClient> {
  const client = await RawClient.open(broker.port)
  onTestFinished(() => client.destroy())
  return client
}

/** Resolves once the broker has taken note that a client has gone. */
export function clientGone(broker: MqttBroker, clientId: string): Promise<void> {
  return new Promise((resolve) => {
    if (!broker.clients.has(clientId)) {
      resolve()
      return
    }
    const look = (client: Client): void => {
      if (client.clientId !== clientId) return
      broker.off('clientDisconnected', look)
      resolve()
    }
    broker.on('clientDisconnected', look)
  })
}
