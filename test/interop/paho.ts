import { fileURLToPath } from 'node:url'
import { ClientProcess } from './client-process'
import { type ForeignClients, missingCommand, type Received } from './foreign-clients'

/** Paho's Python client, behind a script that takes its orders as JSON. */

const python = '/usr/bin/python3'
const script = fileURLToPath(new URL('paho-client.py', import.meta.url))

export const pahoMissing = missingCommand(python, '-c', 'import paho.mqtt.client')

export const pahoClient = (orders: object, onLine?: (line: string) => void): ClientProcess =>
  new ClientProcess(python, [script, JSON.stringify(orders)], onLine)

export const paho: ForeignClients = {
  name: "Paho's Python client",
  missing: pahoMissing,

  publish: (target, message) => pahoClient({ ...target, publish: [message] }).succeeded(),

  subscribe(target, options) {
    const received: Received[] = []
    const client = pahoClient({ ...target, ...options }, (line) => {
      const { topic, payload, qos, retain } = JSON.parse(line)
      received.push({ topic, payload, qos, retain })
    })
    return { received, kill: () => client.end('SIGKILL') }
  },
}
