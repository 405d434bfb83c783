import { expect, it } from 'vitest'
import { scratchFolder } from './store-fixture'
import { runWithStore } from './store-process'

/** How many files are damaged. GNATMQ_DAMAGE_TRIALS=5000 takes some minutes. */
const TRIALS = Number(process.env.GNATMQ_DAMAGE_TRIALS ?? 220)

/** Trials of one process: one that a trial ends takes no others along. */
const BATCH = 100

/**
 * Makes a store of some hundred pages, with a list of free pages that is long, and for each trial a copy of it with one
 * damage. The copy is read, written to, and read again. Says of each trial what became of it.
 */
const trials = `
  import { copyFileSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
  import { createHash } from 'node:crypto'
  const { folder, first, count } = JSON.parse(argument)
  const head = (clientId, more = {}) => ({
    type: 'session',
    session: { clientId, username: 'u' + clientId, expiryInterval: 60, disconnectedAt: 5, will: undefined, ...more },
  })
  const message = (topic, size, fill) => ({ topic, payload: Buffer.alloc(size, fill), qos: 1, properties: undefined, expiresAt: undefined })
  const entry = (position, of) => ({
    position, message: of, qos: 1, retain: false, subscriptionIdentifiers: [7], packetIdentifier: 0, received: false, share: undefined,
  })
  const will = { message: message('will', 30, 1), retain: true, delayInterval: 5, messageExpiryInterval: 60 }

  async function fill(path) {
    const store = lmdbStore(path, { durability: 'none' })
    await store.open()
    for (let c = 0; c < 40; c++) {
      const clientId = 'client ' + c + 'x'.repeat(c * 15)
      await store.commit([
        head(clientId, c % 3 ? {} : { will }),
        ...Array.from({ length: 8 }, (_, i) => ({
          type: 'subscribe', clientId,
          subscription: { filter: 'f/' + i, qos: 1, noLocal: false, retainAsPublished: false, retainHandling: 0, subscriptionIdentifier: i },
        })),
        ...Array.from({ length: 5 }, (_, i) => ({ type: 'hold', clientId, packetIdentifier: 1 + i * 999 })),
        { type: 'retain', message: message('r/' + c, 100 + c * 200, c) },
      ])
      const shared = message('shared', 300, c)
      for (let from = 1; from <= 90; from += 30) {
        await store.commit(Array.from({ length: 30 }, (_, i) => ({
          type: 'enqueue', clientId,
          entry: entry(from + i, i % 10 ? message('t/' + i, i === 5 ? 9000 : 20 + i * 9, i) : shared),
        })))
      }
      await store.commit(Array.from({ length: 16 }, (_, i) => ({ type: 'dequeue', clientId, position: 1 + i * 5 })))
      if (c % 8 === 7) await store.commit([{ type: 'end', clientId: 'client ' + (c - 3) + 'x'.repeat((c - 3) * 15) }])
    }
    await store.close()
  }

  async function digest(store, isOurs) {
    const hash = createHash('sha256')
    const all = []
    for await (const state of store.sessions()) if (isOurs(state.session.clientId)) all.push(state)
    for (const state of all) {
      const { clientId } = state.session
      hash.update(JSON.stringify(state)).update(JSON.stringify(await store.held(clientId)))
      hash.update(JSON.stringify(await store.queue(clientId, 0, 10_000)))
    }
    for await (const { topic, payload } of store.retained()) if (isOurs(topic)) hash.update(topic).update(payload)
    return hash.digest('hex')
  }

  const ours = (name) => !name.startsWith('new')
  async function readAndWrite(path) {
    const store = lmdbStore(path, { durability: 'none' })
    await store.open()
    let before
    try {
      before = await digest(store, ours)
      await store.commit([head('new')])
      for (let round = 0; round < 6; round++) {
        await store.commit(Array.from({ length: 40 }, (_, i) => ({
          type: 'enqueue', clientId: 'new', entry: entry(round * 40 + i + 1, message('new', i === 3 ? 20_000 : 400, i)),
        })))
        await store.commit([{ type: 'retain', message: message('new/' + round, 3000, 1) }])
      }
      await store.commit(Array.from({ length: 100 }, (_, i) => ({ type: 'dequeue', clientId: 'new', position: i + 1 })))
    } finally {
      await store.close()
    }
    const again = lmdbStore(path, { durability: 'none' })
    await again.open()
    try {
      return [before, await digest(again, ours), again.verify().length]
    } finally {
      await again.close()
    }
  }

  function randomOf(seed) {
    let state = seed * 2654435761 >>> 0
    return (below) => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0
      return Math.floor((state / 2 ** 32) * below)
    }
  }
  const number = (bytes, at) => Number(bytes.readBigUInt64LE(at))
  const newest = (bytes) => (number(bytes, 24 + 128) > number(bytes, 4096 + 24 + 128) ? 0 : 4096)
  const lastPage = (bytes) => number(bytes, newest(bytes) + 24 + 120)
  const flip = (bytes, at, bit) => { bytes[at] ^= 1 << bit }
  function leaf(bytes, pick) {
    for (;;) {
      const page = (2 + pick(lastPage(bytes) - 1)) * 4096
      if (bytes.readUInt16LE(page + 18) === 2 && bytes.readUInt16LE(page + 20) > 0) return page
    }
  }
  // where a leaf has a row: its header of 8 bytes, its key, its value
  function row(bytes, pick) {
    const page = leaf(bytes, pick)
    const node = page + 24 + bytes.readUInt16LE(page + 24 + 2 * pick(bytes.readUInt16LE(page + 20) / 2))
    return { page, node, keyBytes: bytes.readUInt16LE(node + 6), valueBytes: bytes.readUInt32LE(node) }
  }
  const kinds = {
    any: (bytes, pick) => flip(bytes, pick((lastPage(bytes) + 1) * 4096), pick(8)),
    key: (bytes, pick) => {
      const { node, keyBytes } = row(bytes, pick)
      if (keyBytes > 0) flip(bytes, node + 8 + pick(keyBytes), pick(8))
    },
    row: (bytes, pick) => flip(bytes, row(bytes, pick).node + pick(8), pick(8)),
    value: (bytes, pick) => {
      const { node, keyBytes, valueBytes } = row(bytes, pick)
      if (valueBytes > 0 && valueBytes < 4000) flip(bytes, node + 8 + keyBytes + pick(valueBytes), pick(8))
    },
    page: (bytes, pick) => flip(bytes, pick(lastPage(bytes) + 1) * 4096 + pick(60), pick(8)),
    meta: (bytes, pick) => flip(bytes, pick(2) * 4096 + pick(168), pick(8)),
    transaction: (bytes, pick) => flip(bytes, pick(2) * 4096 + 24 + 128, pick(8)),
    free: (bytes, pick) => {
      const page = number(bytes, newest(bytes) + 24 + 24 + 40) * 4096
      if (bytes.readUInt16LE(page + 18) !== 2) return flip(bytes, page + pick(4096), pick(8))
      const index = pick(bytes.readUInt16LE(page + 20) / 2)
      const node = page + 24 + bytes.readUInt16LE(page + 24 + 2 * index)
      const isElsewhere = bytes.readUInt16LE(node + 4) === 1
      const place = isElsewhere ? number(bytes, node + 16) * 4096 + 24 : node + 16
      flip(bytes, pick(4) === 0 ? node + pick(16) : place + pick(bytes.readUInt32LE(node)), pick(8))
    },
    several: (bytes, pick) => { for (let i = 0; i < 4; i++) flip(bytes, pick((lastPage(bytes) + 1) * 4096), pick(8)) },
    sector: (bytes, pick) => {
      const at = pick((lastPage(bytes) + 1) * 8) * 512
      bytes.fill(pick(2) ? 0 : 0xff, at, at + 512)
    },
    cut: (bytes, pick) => bytes.subarray(0, pick(2) ? pick(bytes.length) : pick(bytes.length / 512) * 512),
  }

  const pristine = folder + '/pristine'
  if (first === 0) {
    await fill(pristine)
    const store = lmdbStore(pristine)
    await store.open()
    writeFileSync(folder + '/expected', await digest(store, ours))
    await store.close()
  }
  const expected = readFileSync(folder + '/expected', 'utf8')
  const whole = readFileSync(pristine + '/data.mdb')
  const path = folder + '/trial-' + first
  const names = Object.keys(kinds)
  for (let trial = first; trial < first + count; trial++) {
    rmSync(path, { recursive: true, force: true })
    mkdirSync(path)
    const kind = names[trial % names.length]
    const bytes = Buffer.from(whole)
    const damaged = kinds[kind](bytes, randomOf(trial + 1)) ?? bytes
    writeFileSync(path + '/data.mdb', damaged)
    console.log('begin ' + trial + ' ' + kind)
    let outcome
    try {
      const [before, after, wrong] = await readAndWrite(path)
      outcome = before !== expected ? 'SILENT' : after !== expected || wrong ? 'DESTROYED' : 'right'
    } catch (error) {
      const isNamed = error.code === 'GNATMQ_STORE_FAILED' && error.message.includes(path + '/data.mdb')
      outcome = isNamed ? 'refused' : 'UNNAMED ' + error.message
    }
    console.log('end ' + trial + ' ' + kind + ' ' + outcome)
  }
  rmSync(path, { recursive: true, force: true })
`

it(`a store file with one damage is refused by its name, or right: ${TRIALS} of them`, async () => {
  const folder = scratchFolder()
  const wrong: string[] = []
  const counts = new Map<string, number>()
  for (let first = 0; first < TRIALS; first += BATCH) {
    const count = Math.min(BATCH, TRIALS - first)
    const child = await runWithStore(trials, JSON.stringify({ folder, first, count }))
    const status = await child.ended
    const lines = child.output.split('\n')
    if (status !== 0) wrong.push(`status ${status} after "${lines[lines.length - 2]}": ${child.errors.slice(0, 2000)}`)
    for (const line of lines) {
      const [, trial, kind, outcome] = /^end (\d+) (\w+) (.*)/.exec(line) ?? []
      if (outcome === undefined) continue
      counts.set(`${kind} ${outcome}`, (counts.get(`${kind} ${outcome}`) ?? 0) + 1)
      if (outcome !== 'right' && outcome !== 'refused') wrong.push(`trial ${trial}: ${kind} ${outcome}`)
    }
  }
  if (process.env.GNATMQ_DAMAGE_TRIALS !== undefined) console.log(Object.fromEntries([...counts].sort()))
  expect(wrong).toEqual([])
  const total = (outcome: string) =>
    [...counts].reduce((sum, [name, count]) => (name.endsWith(outcome) ? sum + count : sum), 0)
  expect(total('refused') + total('right')).toBe(TRIALS)
  expect(total('refused')).toBeGreaterThan(TRIALS / 3)
}, 3_600_000)
