import { describe, expect, it } from 'vitest'
import { MqttError } from '../../src/protocol/mqtt-error'
import { printable } from '../../src/protocol/printable'

describe('text for people', () => {
  it.each([
    ['a\nb', 'a\\u000ab'],
    ['\u001b[2Jgone', '\\u001b[2Jgone'],
    ['\u009b31m', '\\u009b31m'],
    ['a\u2028b\u202ec', 'a\\u2028b\\u202ec'],
    ['\u007f\u0000', '\\u007f\\u0000'],
    ['grün 🍀 \\n', 'grün 🍀 \\n'],
  ])('shows %j as %j', (text, shown) => {
    expect(printable(text)).toBe(shown)
  })

  it('is the message of every error', () => {
    expect(new MqttError('GNATMQ_SESSION_OWNER', 'of a\r\nb').message).toBe('of a\\u000d\\u000ab')
  })
})
