import { getEventListeners } from 'node:events'
import { describe, expect, it } from 'vitest'
import { MessageStream, type MessageStreamOptions } from '../../../src/broker/delivery/message-stream'
import { createMessage, type Message } from '../../../src/protocol/message'

const message = (topic: string): Message => createMessage(topic, Buffer.alloc(0), undefined, 0, false, 0, undefined)

function start(options: MessageStreamOptions = {}): { stream: MessageStream; ends: () => number } {
  let count = 0
  const stream = new MessageStream(options, () => count++)
  return { stream, ends: () => count }
}

async function topics(stream: MessageStream, count: number): Promise<string[]> {
  const seen: string[] = []
  for await (const { topic } of stream) if (seen.push(topic) === count) break
  return seen
}

describe('MessageStream', () => {
  it('gives messages in their order, early and late ones', async () => {
    const { stream } = start()
    stream.push(message('a'))
    stream.push(message('b'))
    const reading = topics(stream, 4)
    stream.push(message('c'))
    stream.push(message('d'))
    expect(await reading).toEqual(['a', 'b', 'c', 'd'])
  })

  it('answers several readers in their order', async () => {
    const { stream } = start()
    const readers = [stream.next(), stream.next()]
    stream.push(message('a'))
    stream.push(message('b'))
    expect((await Promise.all(readers)).map(({ value }) => (value as Message).topic)).toEqual(['a', 'b'])
  })

  it('ends once when the loop is left, and takes nothing more', async () => {
    const { stream, ends } = start()
    stream.push(message('a'))
    await topics(stream, 1)
    stream.push(message('b'))
    await stream.return()
    expect(await stream.next()).toEqual({ value: undefined, done: true })
    expect(ends()).toBe(1)
  })

  it('ends when its signal says so, for those who wait too', async () => {
    const controller = new AbortController()
    const { stream, ends } = start({ signal: controller.signal })
    const waiting = stream.next()
    controller.abort()
    expect(await waiting).toEqual({ value: undefined, done: true })
    expect(await topics(stream, 1)).toEqual([])
    expect(ends()).toBe(1)
  })

  it('is at its end where its signal said so before', async () => {
    const { stream } = start({ signal: AbortSignal.abort() })
    stream.push(message('a'))
    expect(await topics(stream, 1)).toEqual([])
  })

  it('leaves nothing at a signal that outlives it', async () => {
    const { signal } = new AbortController()
    const { stream } = start({ signal })
    expect(getEventListeners(signal, 'abort')).toHaveLength(1)
    await stream.return()
    expect(getEventListeners(signal, 'abort')).toHaveLength(0)
  })

  it('drops the oldest of a slow loop, and counts it', async () => {
    const { stream } = start({ maximumQueuedMessages: 2 })
    for (const topic of ['a', 'b', 'c', 'd']) stream.push(message(topic))
    expect(await topics(stream, 2)).toEqual(['c', 'd'])
    expect(stream.droppedMessages).toBe(2)
  })
})
