import { describe, expect, it } from 'vitest'
import { readVerdict } from '../../../src/broker/hooks/answers'

describe('readVerdict', () => {
  it.each<[unknown, number]>([
    [true, 0],
    [false, 0x87],
    [undefined, 0x87],
    [null, 0x87],
    [1, 0x87],
    ['true', 0x87],
    [{}, 0x87],
    [{ reasonCode: 0x97 }, 0x97],
    [{ reasonCode: 0x80 }, 0x80],
    [{ reasonCode: 0x7f }, 0x87],
    [{ reasonCode: 0 }, 0x87],
    [{ reasonCode: 0x100 }, 0x87],
    [{ reasonCode: 128.5 }, 0x87],
    [{ reasonCode: '0x97' }, 0x87],
  ])('reads %j as Reason Code %i', (verdict, reasonCode) => {
    expect(readVerdict(verdict, 0x87).reasonCode).toBe(reasonCode)
  })
})
