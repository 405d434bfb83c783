import fc from 'fast-check'
import { isTopicFilter, isTopicName } from '../../src/protocol/topic'

// Few levels of few kinds, so that filters and topics meet often.

const level = fc.constantFrom('a', 'b', 'ab', '', '$', '$SYS', '€', '__proto__', 'constructor', 'hasOwnProperty')
const filterLevel = fc.oneof({ weight: 3, arbitrary: level }, { weight: 2, arbitrary: fc.constant('+') })

export const topics: fc.Arbitrary<string> = fc
  .array(level, { minLength: 1, maxLength: 5 })
  .map((levels) => levels.join('/'))
  .filter((topic) => isTopicName(topic))

export const filters: fc.Arbitrary<string> = fc
  .tuple(fc.array(filterLevel, { maxLength: 4 }), fc.constantFrom('', '#', 'a', '+'))
  .map(([levels, last]) => [...levels, last].join('/'))
  .filter((filter) => isTopicFilter(filter))
