import type { ProtocolVersion } from '../../src/protocol/packet'
import { ClientProcess } from './client-process'
import { type ForeignClients, missingCommand, type Publication, type Received, type Target } from './foreign-clients'

/** The command-line clients of Mosquitto. */

const versions = { 3: 'mqttv31', 4: 'mqttv311', 5: 'mqttv5' } as const satisfies Record<ProtocolVersion, string>

/** The arguments that every one of them takes. `--cafile` checks the certificate and its host name. */
export function connectionArguments({ version, host, port, caFile }: Target): string[] {
  const tls = caFile === undefined ? [] : ['--cafile', caFile]
  return ['-V', versions[version], '-h', host, '-p', String(port), ...tls]
}

/** A message as `mosquitto_sub -F %j` prints it. */
export interface MosquittoMessage {
  topic: string
  payload: string
  qos: number
  retain: number
  properties?: Record<string, unknown>
}

export const messageOf = (line: string): MosquittoMessage => JSON.parse(line)

function publishArguments({ topic, payload, qos, retain, clientId }: Publication): string[] {
  const options = [...(retain ? ['-r'] : []), ...(clientId === undefined ? [] : ['-i', clientId])]
  const content = payload === '' ? ['-n'] : ['-m', payload]
  return ['-t', topic, ...content, '-q', String(qos), ...options]
}

export const mosquitto: ForeignClients = {
  name: 'mosquitto_pub and mosquitto_sub',
  missing: missingCommand('mosquitto_pub', '--help') ?? missingCommand('mosquitto_sub', '--help'),

  publish: (target, message) =>
    new ClientProcess('mosquitto_pub', [...connectionArguments(target), ...publishArguments(message)]).succeeded(),

  subscribe(target, { filters, qos, clientId, persistent, will, leaves }) {
    const received: Received[] = []
    const session = persistent ? ['-c', ...(target.version === 5 ? ['-x', '3600'] : [])] : []
    const willArguments =
      will === undefined
        ? []
        : [
            ...['--will-topic', will.topic, '--will-payload', will.payload, '--will-qos', String(will.qos)],
            ...(will.retain ? ['--will-retain'] : []),
          ]
    const topics = filters.flatMap((filter) => ['-t', filter])
    // -E ends it by itself once it has subscribed
    const fixed = ['-q', String(qos), '-i', clientId, '-F', '%j', ...(leaves ? ['-E'] : [])]
    const args = [...connectionArguments(target), ...fixed, ...topics, ...session, ...willArguments]
    const client = new ClientProcess('mosquitto_sub', args, (line) => {
      const message = messageOf(line)
      received.push({ topic: message.topic, payload: message.payload, qos: message.qos, retain: message.retain === 1 })
    })
    return { received, kill: () => client.end('SIGKILL') }
  },
}
