import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Delivery } from '../../src/session/delivery'
import { DeliveryQueue, deliveryBytes } from '../../src/session/delivery-queue'
import { delivery } from './session-under-test'

describe('DeliveryQueue', () => {
  it('counts topic, properties and payload', () => {
    expect(deliveryBytes(delivery(1, 'a/€', { payload: '12345' }))).toBe(10)
  })

  it('gives nothing when it is empty', () => {
    const queue = new DeliveryQueue()
    expect([queue.peek(), queue.shift(), queue.length, queue.bytes]).toEqual([undefined, undefined, 0, 0])
  })

  it('behaves as an array does', () => {
    const step = fc.oneof(
      { weight: 5, arbitrary: fc.record({ act: fc.constant('push' as const), size: fc.nat(50) }) },
      { weight: 3, arbitrary: fc.record({ act: fc.constant('shift' as const), size: fc.constant(0) }) },
      {
        weight: 1,
        arbitrary: fc.record({ act: fc.constant('removeWhere' as const), size: fc.integer({ min: 2, max: 5 }) }),
      },
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const queue = new DeliveryQueue()
        let model: Delivery[] = []
        let position = 0
        for (const { act, size } of steps) {
          if (act === 'push') {
            const one = delivery(1, 'a', { payload: 'x'.repeat(size) })
            one.position = ++position
            queue.push(one)
            model.push(one)
          } else if (act === 'shift') expect(queue.shift()).toBe(model.shift())
          else {
            const unwanted = (one: Delivery): boolean => one.position % size === 0
            expect(queue.removeWhere(unwanted)).toEqual(model.filter(unwanted))
            model = model.filter((one) => !unwanted(one))
          }
          expect(queue.length).toBe(model.length)
          expect(queue.peek()).toBe(model[0])
          expect(queue.bytes).toBe(model.reduce((sum, one) => sum + deliveryBytes(one), 0))
        }
        expect(model.map(() => queue.shift())).toEqual(model)
        expect(queue.shift()).toBeUndefined()
      }),
      { numRuns: 300 },
    )
  })
})
