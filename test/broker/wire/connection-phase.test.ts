import { describe, expect, it } from 'vitest'
import { Phase, type PhaseEvent, packetTable, phaseError, phaseTable } from '../../../src/broker/wire/connection-phase'
import { PacketType } from '../../../src/protocol/packet'

type PhaseName = keyof typeof Phase
type PacketName = keyof typeof PacketType

const next: readonly (readonly [PhaseName, PhaseEvent, PhaseName | 'never'])[] = [
  ['AwaitingConnect', 'connect', 'Authenticating'],
  ['AwaitingConnect', 'accept', 'never'],
  ['AwaitingConnect', 'end', 'Closing'],
  ['AwaitingConnect', 'close', 'never'],
  ['Authenticating', 'connect', 'never'],
  ['Authenticating', 'accept', 'Open'],
  ['Authenticating', 'end', 'Closing'],
  ['Authenticating', 'close', 'never'],
  ['Open', 'connect', 'never'],
  ['Open', 'accept', 'never'],
  ['Open', 'end', 'Closing'],
  ['Open', 'close', 'never'],
  ['Closing', 'connect', 'never'],
  ['Closing', 'accept', 'never'],
  ['Closing', 'end', 'never'],
  ['Closing', 'close', 'Closed'],
  ['Closed', 'connect', 'never'],
  ['Closed', 'accept', 'never'],
  ['Closed', 'end', 'never'],
  ['Closed', 'close', 'never'],
]

/** Whether a client may send the packet before its CONNECT, before CONNACK, after CONNACK, while it closes, afterwards. */
const mayCome: readonly (readonly [PacketName, boolean, boolean, boolean, boolean, boolean])[] = [
  ['Connect', true, false, false, false, false],
  ['Connack', false, false, false, false, false],
  ['Publish', false, false, true, false, false],
  ['Puback', false, false, true, false, false],
  ['Pubrec', false, false, true, false, false],
  ['Pubrel', false, false, true, false, false],
  ['Pubcomp', false, false, true, false, false],
  ['Subscribe', false, false, true, false, false],
  ['Suback', false, false, false, false, false],
  ['Unsubscribe', false, false, true, false, false],
  ['Unsuback', false, false, false, false, false],
  ['Pingreq', false, false, true, false, false],
  ['Pingresp', false, false, false, false, false],
  ['Disconnect', false, true, true, false, false],
  ['Auth', false, true, true, false, false],
]

const phases = Object.keys(Phase) as PhaseName[]

describe('the phase of a connection', () => {
  it.each(next)('%s, on %s, is followed by %s', (phase, event, following) => {
    expect(phaseTable[Phase[phase]][event]).toBe(following === 'never' ? null : Phase[following])
  })

  it('is tested with every event that there is', () => {
    const table = Object.entries(phaseTable).flatMap(([phase, row]) =>
      Object.keys(row).map((event) => `${phase} ${event}`),
    )
    expect(table.sort()).toEqual(next.map(([phase, event]) => `${Phase[phase]} ${event}`).sort())
  })
})

describe('the packets of a phase', () => {
  it.each(mayCome)('%s may come: %j, %j, %j, %j, %j', (packet, ...expected) => {
    expect(phases).toEqual(['AwaitingConnect', 'Authenticating', 'Open', 'Closing', 'Closed'])
    expect(phases.map((phase) => packetTable[Phase[phase]].includes(PacketType[packet]))).toEqual(expected)
  })

  it('are tested with every type that there is, and neither 0 nor a type above 15 is among them', () => {
    expect(mayCome.map(([packet]) => packet).sort()).toEqual(Object.keys(PacketType).sort())
    const types = new Set<number>(Object.values(PacketType))
    expect(
      Object.values(packetTable)
        .flat()
        .filter((type) => !types.has(type)),
    ).toEqual([])
  })

  it.each<[PacketName, PhaseName, string]>([
    ['Publish', 'AwaitingConnect', 'the first packet is not CONNECT [MQTT-3.1.0-1]'],
    ['Auth', 'AwaitingConnect', 'the first packet is not CONNECT [MQTT-3.1.0-1]'],
    ['Connect', 'Authenticating', 'a second CONNECT [MQTT-3.1.0-2]'],
    ['Connect', 'Open', 'a second CONNECT [MQTT-3.1.0-2]'],
    ['Publish', 'Authenticating', 'a packet other than AUTH before CONNACK [MQTT-4.12.0-7]'],
    ['Pingreq', 'Authenticating', 'a packet other than AUTH before CONNACK [MQTT-4.12.0-7]'],
  ])('name the statement that %s breaks in %s', (packet, phase, text) => {
    expect(phaseError(Phase[phase], PacketType[packet])).toBe(text)
  })
})
