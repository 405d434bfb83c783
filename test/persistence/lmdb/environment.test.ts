import { describe, expect, it } from 'vitest'
import { lmdbStore } from '../../../src/persistence/lmdb'
import { loadLmdb } from '../../../src/persistence/lmdb/environment'
import { numberKey, numberOfKey, pairKey, textKey } from '../../../src/persistence/lmdb/store-keys'

describe('the package lmdb', () => {
  it('is asked for by its install line when it is missing', async () => {
    const missing = () => Promise.reject(new Error("Cannot find package 'lmdb'"))
    await expect(loadLmdb(missing)).rejects.toMatchObject({
      code: 'GNATMQ_DEPENDENCY_MISSING',
      message: expect.stringContaining('npm install lmdb'),
    })
  })
})

describe('the options of a durable store', () => {
  it.each([
    [{ durability: 'fast' as 'sync' }, 'durability is "fast"'],
    [{ flushIntervalMs: 0 }, 'flushIntervalMs is 0'],
    [{ flushIntervalMs: Number.NaN }, 'flushIntervalMs is NaN'],
    [{ maximumBytes: 100 }, 'maximumBytes is 100'],
  ])('are refused by name when they are impossible: %o', (options, text) => {
    expect(() => lmdbStore('nowhere', options)).toThrow(text)
  })
})

describe('the keys of a durable store', () => {
  it('sort as their numbers do', () => {
    const numbers = [0, 1, 255, 256, 65535, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 48, Number.MAX_SAFE_INTEGER]
    const keys = numbers.map((number) => numberKey(number))
    expect([...keys].reverse().sort(Buffer.compare)).toEqual(keys)
    expect(keys.map((key) => numberOfKey(key))).toEqual(numbers)
    expect(numberOfKey(pairKey(7, 2 ** 40), 8)).toBe(2 ** 40)
  })

  it('are different for different texts, short or long', () => {
    const texts = ['', '\0', '\0\0', 'a', 'a\0', 'x'.repeat(480), 'x'.repeat(481), 'x'.repeat(482)]
    expect(new Set(texts.map((text) => textKey(text).toString('hex'))).size).toBe(texts.length)
    expect(textKey('é'.repeat(30_000)).length).toBeLessThan(100)
  })
})
