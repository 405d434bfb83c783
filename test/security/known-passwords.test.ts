import { describe, expect, it } from 'vitest'
import { KnownPasswords } from '../../src/security/known-passwords'

function start() {
  const known = new KnownPasswords()
  const markOf = (username: string, password: string): Buffer => known.markOf(username, Buffer.from(password))
  return {
    add: (username: string, password: string, isRight: boolean) =>
      known.add(username, markOf(username, password), isRight),
    answer: (username: string, password: string) => known.answer(username, markOf(username, password)),
  }
}

describe('known passwords', () => {
  it('are right or wrong for their user alone', () => {
    const { add, answer } = start()
    add('ada', 'lovelace', true)
    add('bob', 'lovelace', false)
    expect([answer('ada', 'lovelace'), answer('bob', 'lovelace'), answer('ada', 'other')]).toEqual([
      true,
      false,
      undefined,
    ])
  })

  it('are not mistaken for others by where the name ends', () => {
    const { add, answer } = start()
    add('ada', 'xlovelace', true)
    expect(answer('adax', 'lovelace')).toBeUndefined()
  })

  it('are forgotten where they are wrong and 4,096 came after, never where they are right', () => {
    const { add, answer } = start()
    add('ada', 'lovelace', true)
    for (let n = 0; n <= 4096; n++) add('ada', `guess ${n}`, false)
    expect([answer('ada', 'guess 0'), answer('ada', 'guess 1'), answer('ada', 'lovelace')]).toEqual([
      undefined,
      false,
      true,
    ])
  })

  it('mean nothing to another object', () => {
    const one = new KnownPasswords()
    const other = new KnownPasswords()
    expect(one.markOf('ada', Buffer.from('lovelace')).equals(other.markOf('ada', Buffer.from('lovelace')))).toBe(false)
  })
})
