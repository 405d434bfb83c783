import { createHash } from 'node:crypto'
import {
  closeSync,
  copyFileSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { lmdbStore } from '../../../src/persistence/lmdb'
import { crc32, crc32WithoutZlib } from '../../../src/persistence/lmdb/crc32'
import { Environment, META_KEYS } from '../../../src/persistence/lmdb/environment'
import { seal } from '../../../src/persistence/lmdb/record-seal'
import { encodeNumber } from '../../../src/persistence/lmdb/records'
import { FORMAT } from '../../../src/persistence/lmdb/store-census'
import { collect, enqueue, entry, message, openStore, scratchFolder, session, subscription } from './store-fixture'

const PAGE = 4096

/** Pages that were ever used: behind them is room for what comes next. */
function usedPages(file: Buffer): number {
  return Math.max(...[24, PAGE + 24].map((head) => Number(file.readBigUInt64LE(head + 120)))) + 1
}

/** A store of some hundred pages of every kind, closed. */
async function filledFolder(): Promise<string> {
  const folder = scratchFolder()
  const store = await openStore(folder)
  for (let c = 0; c < 20; c++) {
    await store.commit([
      session(`c${c}`),
      { type: 'subscribe', clientId: `c${c}`, subscription: subscription('a/#') },
      ...Array.from({ length: 100 }, (_, i) =>
        enqueue(`c${c}`, entry(i + 1, message(`t/${i}`, 'p'.repeat(i % 50 ? 40 : 9000)))),
      ),
      { type: 'retain', message: message(`r/${c}`, 'retained') },
    ])
  }
  await store.close()
  return folder
}

/** A digest of everything that the store gives. */
async function readAll(folder: string): Promise<string> {
  const store = lmdbStore(folder)
  await store.open()
  try {
    const digest = createHash('sha256')
    for (const retained of await collect(store.retained())) digest.update(retained.topic).update(retained.payload)
    for (const state of await collect(store.sessions())) {
      digest.update(JSON.stringify(state))
      for (const { position, message: of } of await store.queue(state.session.clientId, 0, 1000)) {
        digest.update(`${position} ${of.topic}`).update(of.payload)
      }
    }
    return digest.digest('hex')
  } finally {
    await store.close()
  }
}

function overwrite(file: string, offset: number, bytes: Uint8Array): void {
  const descriptor = openSync(file, 'r+')
  writeSync(descriptor, bytes, 0, bytes.length, offset)
  closeSync(descriptor)
}

describe('a damaged store file', () => {
  it('is refused by name wherever a page is overwritten, and never ends the process', async () => {
    const folder = await filledFolder()
    const file = join(folder, 'data.mdb')
    const whole = readFileSync(file)
    const expected = await readAll(folder)
    let refused = 0
    const pages = usedPages(whole)
    for (let page = 0; page < pages; page++) {
      const bad = Buffer.alloc(PAGE, page % 3 === 0 ? 0 : page % 3 === 1 ? 0xff : 0x5a)
      overwrite(file, page * PAGE, bad)
      const outcome = await readAll(folder).catch((error: Error) => error)
      if (typeof outcome === 'string') expect(outcome).toBe(expected)
      else {
        refused++
        expect(outcome).toMatchObject({ code: 'GNATMQ_STORE_FAILED', message: expect.stringContaining(file) })
      }
      writeFileSync(file, whole)
    }
    // the others were free: nothing of them is missing
    expect(refused).toBeGreaterThan(pages / 3)
    await readAll(folder)
  }, 60_000)

  it('is refused where a page says that it is newer than the file', async () => {
    const folder = await filledFolder()
    const file = join(folder, 'data.mdb')
    const whole = readFileSync(file)
    let refused = 0
    for (let page = 2; page < usedPages(whole); page += 7) {
      overwrite(file, page * PAGE + 8, Buffer.of(0, 0, 0, 0, 1))
      refused += await readAll(folder).then(
        () => 0,
        () => 1,
      )
      writeFileSync(file, whole)
    }
    expect(refused).toBeGreaterThan(usedPages(whole) / 7 / 4)
  })

  it('is refused when the key of a row has changed', async () => {
    const folder = await filledFolder()
    const file = join(folder, 'data.mdb')
    // a retained topic in its key: the length of the key, a zero, the topic
    const at = readFileSync(file).lastIndexOf('\x05\0\0r/15')
    overwrite(file, at + 3, Buffer.from('q/15'))
    await expect(readAll(folder)).rejects.toThrow(/data\.mdb is damaged: page \d+ has keys out of order/)
  })

  it('is refused when a row of the list of free pages calls itself a tree', async () => {
    const folder = await filledFolder()
    const file = join(folder, 'data.mdb')
    const bytes = readFileSync(file)
    const [first, second] = [24, PAGE + 24].map((head) => Number(bytes.readBigUInt64LE(head + 128)))
    const head = first! > second! ? 24 : PAGE + 24
    const root = Number(bytes.readBigUInt64LE(head + 64)) * PAGE
    const row = root + 24 + bytes.readUInt16LE(root + 24)
    overwrite(file, row + 4, Buffer.of(bytes[row + 4]! | 2))
    await expect(readAll(folder)).rejects.toThrow(/data\.mdb is damaged: (its list of free pages has a tree|page \d+)/)
  })

  it('is refused when bytes of a message have changed', async () => {
    const folder = await filledFolder()
    const file = join(folder, 'data.mdb')
    const at = readFileSync(file).indexOf('retained')
    overwrite(file, at, Buffer.from('detained'))
    await expect(readAll(folder)).rejects.toMatchObject({
      code: 'GNATMQ_STORE_FAILED',
      message: expect.stringContaining(file),
    })
  })

  it.each([0, 1, 100, PAGE, 2 * PAGE, 10 * PAGE + 17, 40 * PAGE])(
    'is refused when it was cut to %i bytes',
    async (size) => {
      const folder = await filledFolder()
      const file = join(folder, 'data.mdb')
      truncateSync(file, size)
      const store = lmdbStore(folder)
      await expect(store.open()).rejects.toMatchObject({
        code: 'GNATMQ_STORE_FAILED',
        message: expect.stringContaining(file),
      })
      expect(statSync(file).size).toBe(size)
    },
  )

  it('is refused when it is something else', async () => {
    const folder = scratchFolder()
    writeFileSync(join(folder, 'data.mdb'), 'this was never a store'.repeat(1000))
    await expect(lmdbStore(folder).open()).rejects.toThrow(/data\.mdb is damaged: its head/)
  })

  it('is missed when it is gone', async () => {
    const folder = await filledFolder()
    rmSync(join(folder, 'data.mdb'))
    await expect(lmdbStore(folder).open()).rejects.toThrow(/data\.mdb is missing/)
  })

  it('can be replaced by a backup', async () => {
    const folder = await filledFolder()
    const store = await openStore(folder)
    const copy = join(scratchFolder(), 'backup')
    await store.backup(copy)
    await expect(store.backup(copy)).rejects.toThrow('is not empty')
    await store.close()
    const file = join(folder, 'data.mdb')
    writeFileSync(file, 'gone')
    await expect(lmdbStore(folder).open()).rejects.toThrow('is damaged')
    copyFileSync(join(copy, 'data.mdb'), file)
    await readAll(folder)
  })
})

describe('the format of a store file', () => {
  it('is refused by its number when a newer version wrote it', async () => {
    const folder = await filledFolder()
    const environment = await Environment.open(folder, true)
    await environment.write([{ table: 'meta', key: META_KEYS.format, value: encodeNumber(3) }])
    await environment.close()
    await expect(lmdbStore(folder).open()).rejects.toThrow(/has format 3, which a newer version/)
  })

  it('is refused by its number, and left as it is, when a version before the first release wrote it', async () => {
    const folder = await filledFolder()
    const file = join(folder, 'data.mdb')
    const former = encodeNumber(1)
    former.writeUInt32LE(crc32(former.subarray(4)), 0)
    const bytes = readFileSync(file)
    const sealed = encodeNumber(FORMAT)
    seal(sealed, 'meta', META_KEYS.format)
    for (let at = bytes.indexOf(sealed); at >= 0; at = bytes.indexOf(sealed, at + 1)) former.copy(bytes, at)
    writeFileSync(file, bytes)
    await expect(lmdbStore(folder).open()).rejects.toMatchObject({
      code: 'GNATMQ_STORE_FAILED',
      message: expect.stringMatching(
        /data\.mdb has format 1, of a version before the first release; this one reads format 2/,
      ),
    })
    expect(readFileSync(file).equals(bytes)).toBe(true)
  })

  it('is made whole or not at all', async () => {
    const folder = scratchFolder()
    mkdirSync(join(folder, 'creating'))
    writeFileSync(join(folder, 'creating', 'data.mdb'), 'half')
    const store = await openStore(folder)
    await store.commit([session('c')])
    expect(store.statistics().sessions).toBe(1)
  })

  it('has the same checksums with and without zlib', () => {
    for (const text of ['', 'a', 'gnatmq'.repeat(99)]) {
      expect(crc32WithoutZlib(Buffer.from(text))).toBe(crc32(Buffer.from(text)))
    }
    expect(crc32WithoutZlib(Buffer.from('123456789'))).toBe(0xcbf43926)
  })
})
