import { describe, expect, it } from 'vitest'
import { MemoryStore } from '../../../src/persistence/memory-store'
import type { Logger } from '../../../src/ports/logger'
import type { Change, QueueEntry, Store } from '../../../src/ports/store'
import type { QoS } from '../../../src/protocol/packet'
import { connectClient, startBroker } from '../../support/broker'
import { stores } from '../../support/stores'

interface Assigned {
  readonly qos?: QoS
  readonly packetIdentifier?: number
  readonly received?: boolean
}

/** A store with one session, whose entry at each position is as `assigned` says. */
async function storeWith(store: Store, count: number, assigned: Record<number, Assigned>): Promise<Store> {
  const clientId = 'kept'
  const changes: Change[] = [
    {
      type: 'session',
      session: { clientId, username: undefined, expiryInterval: 0xffffffff, disconnectedAt: 0, will: undefined },
    },
  ]
  for (let position = 1; position <= count; position++) {
    const message = {
      topic: 'a',
      payload: Buffer.from(`${position}`),
      qos: 2,
      properties: undefined,
      expiresAt: undefined,
    } as const
    const entry: QueueEntry = {
      ...{ position, message, retain: false, subscriptionIdentifiers: [], share: undefined },
      ...{ qos: 1, packetIdentifier: 0, received: false, ...assigned[position] },
    }
    changes.push({ type: 'enqueue', clientId, entry })
  }
  await store.open()
  await store.commit(changes)
  await store.close()
  return store
}

/** Every packet that the client gets, in a few words; it acknowledges all of them. */
async function transcript(store: Store, count: number, logger?: Logger): Promise<string[]> {
  const broker = await startBroker({ store, logger })
  const client = await connectClient(broker, { clientId: 'kept', clean: false })
  const lines: string[] = []
  let done = 0
  while (done < count) {
    const packet = await client.next()
    const messageId = 'messageId' in packet ? packet.messageId! : 0
    if (packet.cmd === 'publish') {
      lines.push(`${packet.payload.toString()} as ${messageId}${packet.dup ? ' again' : ''}`)
      client.send({ cmd: packet.qos === 1 ? 'puback' : 'pubrec', messageId })
      if (packet.qos === 1) done++
    } else if (packet.cmd === 'pubrel') {
      lines.push(`release ${messageId}`)
      client.send({ cmd: 'pubcomp', messageId })
      done++
    }
  }
  expect(await client.quiet()).toEqual([])
  expect(broker.statistics.queuedMessages).toBe(0)
  return lines
}

function listening(): { logger: Logger; errors: object[] } {
  const errors: object[] = []
  const silent = () => undefined
  const logger = { debug: silent, info: silent, warn: silent, error: (fields: object) => errors.push(fields) }
  return { logger: logger as unknown as Logger, errors }
}

const unassigned = (from: number, to: number): string[] =>
  Array.from({ length: to - from + 1 }, (_, n) => `${from + n}`)

describe.each(stores())('with $name', ({ make }) => {
  it.each([
    ['on the first page', 5, 3],
    ['at the end of a page', 600, 256],
    ['on the second page', 600, 300],
    ['at the very end', 2000, 2000],
  ])('a message that was sent is sent again first, also behind others that were not, %s', async (_, count, at) => {
    const store = await storeWith(make(), count, { [at]: { packetIdentifier: 7 } })
    const lines = await transcript(store, count)
    expect(lines[0]).toBe(`${at} as 7 again`)
    expect(lines.slice(1).map((line) => line.split(' ')[0])).toEqual([
      ...unassigned(1, at - 1),
      ...unassigned(at + 1, count),
    ])
    expect(lines.filter((line) => line.includes(' as 7 ') || line.endsWith(' as 7'))).toHaveLength(1)
  })

  it('several of them keep their order, whatever they wait for, and no identifier is given twice meanwhile', async () => {
    const store = await storeWith(make(), 900, {
      2: { packetIdentifier: 3 },
      300: { qos: 2, packetIdentifier: 2 },
      301: { qos: 2, packetIdentifier: 9, received: true },
      899: { packetIdentifier: 1 },
    })
    const lines = await transcript(store, 900)
    const resent = ['2 as 3 again', '300 as 2 again', 'release 9', '899 as 1 again']
    expect(lines.filter((line) => resent.includes(line))).toEqual(resent)
    expect(lines.slice(0, 4)).toEqual(resent)
    expect(lines.some((line) => line.startsWith('301 '))).toBe(false)
  })

  it('no message comes twice when the queue is read on in its turn', async () => {
    const store = await storeWith(make(), 1500, { 1400: { qos: 2, packetIdentifier: 5 } })
    const lines = await transcript(store, 1500)
    expect(lines.filter((line) => line.startsWith('1400 '))).toEqual(['1400 as 5 again'])
    const firsts = lines.filter((line) => !line.startsWith('release')).map((line) => line.split(' ')[0])
    expect(new Set(firsts).size).toBe(1500)
  })
})

// LMDB keeps no such identifiers; a store of somebody else's may
describe('with a damaged store', () => {
  const make = (): MemoryStore => new MemoryStore()

  it.each([
    ['the same', [7, 7, 7]],
    ['0x10000 more', [7, 65_543, 7]],
    ['negative', [7, -7, -7]],
    ['a fraction', [7, 7.5, 7.5]],
    ['no number', [7, Number.NaN, Number.NaN]],
  ])(
    'an identifier that is %s is named, and its message comes under another one',
    async (_, [first, second, third]) => {
      const { logger, errors } = listening()
      const store = await storeWith(make(), 3, {
        1: { packetIdentifier: first! },
        2: { packetIdentifier: second! },
        3: { qos: 2, packetIdentifier: third! },
      })
      expect((await transcript(store, 3, logger)).slice(0, 3)).toEqual(['1 as 7 again', '2 as 8', '3 as 9'])
      expect(errors).toEqual([
        { clientId: 'kept', position: 2, packetIdentifier: second },
        { clientId: 'kept', position: 3, packetIdentifier: third },
      ])
    },
  )

  it('one further back is named too, when its turn comes', async () => {
    const { logger, errors } = listening()
    const store = await storeWith(make(), 600, { 1: { packetIdentifier: 7 }, 500: { packetIdentifier: 7 } })
    const lines = await transcript(store, 600, logger)
    expect(lines.filter((line) => line.startsWith('500 '))).toHaveLength(1)
    expect(errors).toEqual([{ clientId: 'kept', position: 500, packetIdentifier: 7 }])
  })

  it('one whose message has arrived is let go', async () => {
    const { logger, errors } = listening()
    const store = await storeWith(make(), 3, {
      1: { packetIdentifier: 7 },
      2: { qos: 2, packetIdentifier: 7, received: true },
    })
    expect(await transcript(store, 2, logger)).toEqual(['1 as 7 again', '3 as 8'])
    expect(errors).toHaveLength(1)
  })
})
