import { describe, expect, it } from 'vitest'
import { createMessage, type Message } from '../../src/protocol/message'
import { RetainedMessages } from '../../src/routing/retained-messages'

const message = (topic: string, payload: string): Message =>
  createMessage(topic, Buffer.from(payload), undefined, 0, true, 0, undefined)

describe('RetainedMessages', () => {
  it('keeps the last message of each topic, and counts their bytes', () => {
    const retained = new RetainedMessages()
    retained.set(message('a', '12345'))
    retained.set(message('a', '123'))
    retained.set(message('b', '1'))
    expect([retained.count, retained.bytes]).toEqual([2, 6])
    expect(retained.get('a')?.payload.toString()).toBe('123')
  })

  it('forgets a topic, once', () => {
    const retained = new RetainedMessages()
    retained.set(message('a', '12345'))
    expect([retained.delete('a'), retained.delete('a'), retained.delete('b')]).toEqual([true, false, false])
    expect([retained.count, retained.bytes, retained.get('a')]).toEqual([0, 0, undefined])
  })

  it('is found by filter', () => {
    const retained = new RetainedMessages()
    for (const topic of ['a/b', 'a/c', 'b', '$SYS/a']) retained.set(message(topic, 'x'))
    expect([...retained.matching('a/+')].map(({ topic }) => topic).sort()).toEqual(['a/b', 'a/c'])
    expect([...retained.matching('#')]).toHaveLength(3)
  })
})
