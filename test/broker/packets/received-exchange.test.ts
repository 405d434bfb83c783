import type { Packet } from 'mqtt-packet'
import { describe, expect, it } from 'vitest'
import { connectClient, startBroker } from '../../support/broker'
import type { Version } from '../../support/raw-client'

/** What the broker knows of Packet Identifier 7 of the client: nothing, or that it has a QoS 2 message of that number. */
type State = 'free' | 'held'
type Sent = 'PUBLISH QoS 1' | 'PUBLISH QoS 2' | 'PUBREL' | 'PUBACK' | 'PUBREC' | 'PUBCOMP'

/** State, packet, the answer in 3.1.1 and in 5.0, whether a message is delivered, the state after it. */
const table: readonly (readonly [State, Sent, string, string, boolean, State])[] = [
  ['free', 'PUBLISH QoS 1', 'puback 7', 'puback 7 0', true, 'free'],
  ['free', 'PUBLISH QoS 2', 'pubrec 7', 'pubrec 7 0', true, 'held'],
  // [MQTT-4.3.3-11]: PUBCOMP whatever is known of it
  ['free', 'PUBREL', 'pubcomp 7', 'pubcomp 7 146', false, 'free'],
  // [MQTT-4.3.3-10]: not published again
  ['held', 'PUBLISH QoS 2', 'pubrec 7', 'pubrec 7 0', false, 'held'],
  ['held', 'PUBREL', 'pubcomp 7', 'pubcomp 7 0', false, 'free'],
  // an exchange of its own: QoS 1 needs no memory of identifiers
  ['held', 'PUBLISH QoS 1', 'puback 7', 'puback 7 0', true, 'held'],
  // about what the broker has sent, which has identifiers of its own
  ['free', 'PUBACK', '', '', false, 'free'],
  ['free', 'PUBREC', 'pubrel 7', 'pubrel 7 146', false, 'free'],
  ['free', 'PUBCOMP', '', '', false, 'free'],
  ['held', 'PUBACK', '', '', false, 'held'],
  ['held', 'PUBREC', 'pubrel 7', 'pubrel 7 146', false, 'held'],
  ['held', 'PUBCOMP', '', '', false, 'held'],
]

function packet(sent: Sent): Packet {
  const [name, , qos] = sent.split(' ')
  if (name !== 'PUBLISH') return { cmd: name!.toLowerCase() as 'puback', messageId: 7 }
  return { cmd: 'publish', topic: 'a', payload: 'x', qos: Number(qos) as 1, messageId: 7, dup: false, retain: false }
}

function brief(answers: readonly Packet[]): string {
  return answers
    .map((answer) => {
      const { cmd, messageId, reasonCode } = answer as { cmd: string; messageId?: number; reasonCode?: number }
      return [cmd, messageId, reasonCode].filter((part) => part !== undefined).join(' ')
    })
    .join(', ')
}

describe.each([3, 4, 5] as const)(
  'what a client sends under an identifier of its own, version %d',
  (version: Version) => {
    it.each(table)('%s, %s', async (state, sent, answer4, answer5, isDelivered, after) => {
      const broker = await startBroker()
      let delivered = 0
      await broker.subscribe('a', () => delivered++)
      const client = await connectClient(broker, { clientId: 'c', protocolVersion: version })
      if (state === 'held') {
        client.send(packet('PUBLISH QoS 2'))
        await client.next('pubrec')
      }
      const before = delivered
      client.send(packet(sent))
      const answers = (await client.quiet()).filter(({ cmd }) => cmd !== 'pingresp')
      expect([brief(answers), delivered - before]).toEqual([version === 5 ? answer5 : answer4, isDelivered ? 1 : 0])
      const known = delivered
      client.send(packet('PUBLISH QoS 2'))
      await client.next('pubrec')
      expect(delivered - known).toBe(after === 'held' ? 0 : 1)
    })
  },
)

it('has a row for every pair of state and packet', () => {
  expect(new Set(table.map(([state, sent]) => `${state} ${sent}`)).size).toBe(12)
})
