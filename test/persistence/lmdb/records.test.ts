import { expect, it } from 'vitest'
import { decodeQueueRecord, encodeQueueRecord } from '../../../src/persistence/lmdb/records'

const entry = {
  message: 5,
  payloadLength: 3,
  qos: 2,
  retain: true,
  received: true,
  packetIdentifier: 7,
  subscriptionIdentifiers: [268435455],
  share: undefined,
} as const

it('an entry of a file that knew nothing of shares is read, and written, as it was', () => {
  const bytes = Buffer.from('497734190000000000001440030000000e07000100ffffff0f', 'hex')
  expect(decodeQueueRecord(bytes)).toEqual(entry)
  expect(encodeQueueRecord(entry)).toEqual(bytes)
})

it('a share changes nothing of what stands before it, where older versions look', () => {
  for (const retain of [false, true]) {
    const share = { filter: '$share/name/€', retain }
    const bytes = encodeQueueRecord({ ...entry, share })
    expect(decodeQueueRecord(bytes)).toEqual({ ...entry, share })
    const plain = encodeQueueRecord(entry)
    const flags = 4 + 8 + 4
    expect(bytes[flags]! & 15).toBe(plain[flags])
    // but for the checksum and the flags
    expect(bytes.subarray(flags + 1, plain.length)).toEqual(plain.subarray(flags + 1))
  }
})
