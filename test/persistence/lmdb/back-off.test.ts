import { expect, it } from 'vitest'
import { BackOff } from '../../../src/persistence/lmdb/back-off'
import { NoRoomError } from '../../../src/persistence/lmdb/data-file-room'

const adding = () => true
const removing = () => false

function scene() {
  const disk = { now: 1000, freeBytes: 0 }
  return { disk, backOff: new BackOff({ now: () => disk.now, freeBytes: () => disk.freeBytes }) }
}

it('a store tries at once after one failure, and waits twice as long after each further one, up to a second', () => {
  const { disk, backOff } = scene()
  const error = new Error('EIO')
  backOff.failed(error)
  expect(backOff.refusal(adding)).toBeUndefined()
  for (const pause of [50, 100, 200, 400, 800, 1000, 1000]) {
    backOff.failed(error)
    disk.now += pause - 1
    expect([backOff.refusal(adding), backOff.refusal(removing)]).toEqual([error, error])
    disk.now += 1
    expect(backOff.refusal(adding)).toBeUndefined()
  }
  backOff.succeeded(false)
  expect(backOff.isActive).toBe(false)
})

it('a store without room refuses what adds, and nothing else, until there is room', () => {
  const { disk, backOff } = scene()
  const error = new NoRoomError('ENOSPC')
  backOff.failed(error)
  expect(backOff.refusal(adding)).toBe(error)
  expect(backOff.refusal(removing)).toBeUndefined()
  backOff.succeeded(false)
  expect(backOff.isFull).toBe(true)
  disk.freeBytes = 65_536
  expect(backOff.refusal(adding)).toBe(error)
  disk.freeBytes += 1
  expect(backOff.refusal(adding)).toBeUndefined()
  backOff.succeeded(true)
  expect(backOff.isFull).toBe(false)
})

it('a store without room asks again after a while, as a quota does not show', () => {
  const { disk, backOff } = scene()
  for (let i = 0; i < 10; i++) backOff.failed(new NoRoomError('ENOSPC'))
  disk.now += 999
  expect(backOff.refusal(adding)).toBeInstanceOf(NoRoomError)
  disk.now += 1
  expect(backOff.refusal(adding)).toBeUndefined()
})
