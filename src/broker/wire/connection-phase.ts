import { PacketType } from '../../protocol/packet'

/** Where a connection is in its life. */
export const Phase = { AwaitingConnect: 0, Authenticating: 1, Open: 2, Closing: 3, Closed: 4 } as const

export type Phase = (typeof Phase)[keyof typeof Phase]

/** What moves a connection on: a CONNECT that can be read, its CONNACK with success, the end, the close of its stream. */
export type PhaseEvent = 'connect' | 'accept' | 'end' | 'close'

/** The next phase by phase and event. null: the event cannot come in that phase. */
export const phaseTable: Readonly<Record<Phase, Readonly<Record<PhaseEvent, Phase | null>>>> = {
  [Phase.AwaitingConnect]: { connect: Phase.Authenticating, accept: null, end: Phase.Closing, close: null },
  [Phase.Authenticating]: { connect: null, accept: Phase.Open, end: Phase.Closing, close: null },
  [Phase.Open]: { connect: null, accept: null, end: Phase.Closing, close: null },
  [Phase.Closing]: { connect: null, accept: null, end: null, close: Phase.Closed },
  [Phase.Closed]: { connect: null, accept: null, end: null, close: null },
}

const noPacket: readonly number[] = []

/** The packets that a client may send, by phase. */
export const packetTable: Readonly<Record<Phase, readonly number[]>> = {
  // [MQTT-3.1.0-1]
  [Phase.AwaitingConnect]: [PacketType.Connect],
  // [MQTT-4.12.0-7], section 4.13
  [Phase.Authenticating]: [PacketType.Auth, PacketType.Disconnect],
  [Phase.Open]: [
    PacketType.Publish,
    PacketType.Puback,
    PacketType.Pubrec,
    PacketType.Pubrel,
    PacketType.Pubcomp,
    PacketType.Subscribe,
    PacketType.Unsubscribe,
    PacketType.Pingreq,
    PacketType.Disconnect,
    PacketType.Auth,
  ],
  [Phase.Closing]: noPacket,
  [Phase.Closed]: noPacket,
}

/** Why a packet is not allowed in a phase, with the statement that says so. */
export function phaseError(phase: Phase, packetType: number): string {
  if (phase === Phase.AwaitingConnect) return 'the first packet is not CONNECT [MQTT-3.1.0-1]'
  if (packetType === PacketType.Connect) return 'a second CONNECT [MQTT-3.1.0-2]'
  return 'a packet other than AUTH before CONNACK [MQTT-4.12.0-7]'
}
