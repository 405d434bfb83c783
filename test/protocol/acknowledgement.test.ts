import { parser } from 'mqtt-packet'
import { describe, expect, it } from 'vitest'
import { AckByte, writeAck } from '../../src/protocol/acknowledgement'
import type { ProtocolVersion } from '../../src/protocol/packet'
import { ReasonCode } from '../../src/protocol/reason-code'
import { RecordingOutput } from '../support/recording-output'

const types = ['Puback', 'Pubrec', 'Pubrel', 'Pubcomp'] as const

describe.each(types)('writeAck of %s', (type) => {
  const first = AckByte[type]
  const reason =
    type === 'Puback' || type === 'Pubrec' ? ReasonCode.NoMatchingSubscribers : ReasonCode.PacketIdentifierNotFound

  it.each<[ProtocolVersion, number, number[]]>([
    [3, 0, [2, 0x12, 0x34]],
    [4, 0, [2, 0x12, 0x34]],
    [4, reason, [2, 0x12, 0x34]],
    [5, 0, [2, 0x12, 0x34]],
    [5, reason, [3, 0x12, 0x34, reason]],
    // what the packet does not have becomes Unspecified error
    [5, ReasonCode.BadUserNameOrPassword, [3, 0x12, 0x34, ReasonCode.UnspecifiedError]],
  ])('in MQTT %i with Reason Code %i', (version, reasonCode, rest) => {
    const output = new RecordingOutput(version)
    writeAck(output, first, 0x1234, reasonCode)
    expect([...output.all]).toEqual([first, ...rest])
  })

  it.each([1, 255, 256, 65_535])('reads back as identifier %i', (packetIdentifier) => {
    const output = new RecordingOutput(5)
    writeAck(output, first, packetIdentifier, reason)
    writeAck(output, first, packetIdentifier, 0)
    const [long, short] = output.packets()
    expect(long).toMatchObject({ cmd: type.toLowerCase(), messageId: packetIdentifier, reasonCode: reason })
    expect(short).toMatchObject({ cmd: type.toLowerCase(), messageId: packetIdentifier })
  })
})

it('PUBREL has its reserved flag, which mqtt-packet insists on', () => {
  const errors: Error[] = []
  const reader = parser({ protocolVersion: 4 })
  reader.on('error', (error: Error) => errors.push(error))
  reader.parse(Buffer.from([AckByte.Pubrel & 0xf0, 2, 0, 1]))
  expect(errors).toHaveLength(1)
  expect(AckByte.Pubrel).toBe(0x62)
})
