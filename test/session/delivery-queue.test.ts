import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Delivery } from '../../src/session/delivery'
import { deliveryBytes } from '../../src/session/delivery-queue'
import { Session } from '../../src/session/session'
import { delivery, roomy } from './session-under-test'

describe('DeliveryQueue', () => {
  it('counts topic, properties and payload', () => {
    expect(deliveryBytes(delivery(1, 'a/€', { payload: '12345' }))).toBe(10)
  })

  it('gives nothing when it is empty', () => {
    const session = new Session('client', roomy)
    const queue = session.openQueue()
    expect([queue.peek(), queue.shift(), queue.length, session.queuedBytes]).toEqual([undefined, undefined, 0, 0])
  })

  it('behaves as an array does', () => {
    const step = fc.oneof(
      { weight: 5, arbitrary: fc.record({ act: fc.constant('push' as const), size: fc.nat(50) }) },
      { weight: 3, arbitrary: fc.record({ act: fc.constant('shift' as const), size: fc.constant(0) }) },
      { weight: 1, arbitrary: fc.record({ act: fc.constant('unshift' as const), size: fc.nat(50) }) },
      { weight: 3, arbitrary: fc.record({ act: fc.constant('expire' as const), size: fc.nat(50) }) },
      {
        weight: 1,
        arbitrary: fc.record({ act: fc.constant('removeWhere' as const), size: fc.integer({ min: 2, max: 5 }) }),
      },
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const session = new Session('client', roomy)
        const queue = session.openQueue()
        let model: Delivery[] = []
        let position = 0
        for (const { act, size } of steps) {
          if (act === 'push' || act === 'unshift') {
            const expiresAt = size % 3 === 0 ? size : 0
            const one = delivery(1, 'a', { payload: 'x'.repeat(size), expiresAt })
            one.position = ++position
            queue[act](one)
            model[act](one)
          } else if (act === 'expire') {
            const expired = queue.takeExpired(size)
            const times = model.map(({ message }) => message.expiresAt || Number.POSITIVE_INFINITY)
            const earliest = Math.min(...times)
            if (expired === undefined) expect(earliest).toBeGreaterThan(size)
            else {
              expect([model.includes(expired), expired.message.expiresAt]).toEqual([true, earliest])
              model = model.filter((one) => one !== expired)
            }
          } else if (act === 'shift') expect(queue.shift()).toBe(model.shift())
          else {
            const unwanted = (one: Delivery): boolean => one.position % size === 0
            expect(queue.removeWhere(unwanted)).toEqual(model.filter(unwanted))
            model = model.filter((one) => !unwanted(one))
          }
          expect(queue.length).toBe(model.length)
          expect(queue.peek()).toBe(model[0])
          const deadlines = model.map(({ message }) => message.expiresAt || Number.POSITIVE_INFINITY)
          expect(queue.earliestExpiry).toBe(Math.min(Number.POSITIVE_INFINITY, ...deadlines))
          expect(session.queuedBytes).toBe(model.reduce((sum, one) => sum + deliveryBytes(one), 0))
        }
        expect(model.map(() => queue.shift())).toEqual(model)
        expect(queue.shift()).toBeUndefined()
      }),
      { numRuns: 300 },
    )
  })
})
