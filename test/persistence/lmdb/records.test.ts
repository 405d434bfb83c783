import { describe, expect, it } from 'vitest'
import { checkSeal, seal } from '../../../src/persistence/lmdb/record-seal'
import {
  decodeQueueRecord,
  decodeSubscription,
  encodeQueueRecord,
  encodeSubscription,
} from '../../../src/persistence/lmdb/records'

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
  // behind the checksum
  const bytes = Buffer.from('000000000000000000001440030000000e07000100ffffff0f', 'hex')
  expect(decodeQueueRecord(bytes)).toEqual(entry)
  expect(encodeQueueRecord(entry).subarray(4)).toEqual(bytes.subarray(4))
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

describe('the checksum of a record', () => {
  const key = Buffer.from('key')
  const sealed = () => {
    const record = encodeQueueRecord(entry)
    seal(record, 'queue', key)
    return record
  }

  it('is that of its table and its key as well', () => {
    checkSeal(sealed(), 'queue', key)
    expect(() => checkSeal(sealed(), 'messages', key)).toThrow('a record of messages does not have the checksum')
    expect(() => checkSeal(sealed(), 'queue', Buffer.from('kez'))).toThrow('a record of queue does not have')
  })

  it('is missed in what is shorter than it', () => {
    for (const length of [0, 3]) {
      expect(() => checkSeal(sealed().subarray(0, length), 'queue', key)).toThrow('does not have the checksum')
    }
  })

  it('notices each bit that has changed, in short and in long records', () => {
    for (const length of [4, 5, 60, 67, 68, 200]) {
      const record = Buffer.alloc(length, 7)
      seal(record, 'messages', key)
      for (let bit = 0; bit < length * 8; bit += 3) {
        record[bit >> 3]! ^= 1 << (bit & 7)
        expect(() => checkSeal(record, 'messages', key)).toThrow()
        record[bit >> 3]! ^= 1 << (bit & 7)
      }
      checkSeal(record, 'messages', key)
    }
  })
})

const subscription = {
  filter: 'a/#',
  qos: 2,
  noLocal: true,
  retainAsPublished: true,
  retainHandling: 1,
  subscriptionIdentifier: 7,
} as const

it('retained messages that are to come change nothing of a subscription before them, where older versions look', () => {
  const plain = encodeSubscription(subscription)
  expect(decodeSubscription(plain)).toEqual(subscription)
  for (const replayAfter of ['', 'a/€']) {
    const bytes = encodeSubscription({ ...subscription, replayAfter })
    expect(decodeSubscription(bytes)).toEqual({ ...subscription, replayAfter })
    // but for the checksum and a flag that they do not know
    expect(bytes[4]).toBe(plain[4]! | 64)
    expect(bytes.subarray(5, plain.length)).toEqual(plain.subarray(5))
  }
})
