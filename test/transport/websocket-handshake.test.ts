import { describe, expect, it } from 'vitest'
import { isKey, offeredProtocols, switchingProtocols } from '../../src/transport/websocket-handshake'

describe('the WebSocket handshake', () => {
  it('answers the key of RFC 6455 section 1.3 as it says there', () => {
    expect(switchingProtocols('dGhlIHNhbXBsZSBub25jZQ==', 'mqtt')).toBe(
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
        'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n',
    )
  })

  it.each([
    ['dGhlIHNhbXBsZSBub25jZQ==', true],
    ['+/AAAAAAAAAAAAAAAAAAAA==', true],
    [undefined, false],
    ['', false],
    ['dGhlIHNhbXBsZSBub25jZQ', false],
    ['dGhlIHNhbXBsZSBub25jZQ==\n', false],
    ['dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==', false],
    ['dGhlIHNhbXBsZSBub25j!Q==', false],
  ])('of the key %j says %s', (key, expected) => {
    expect(isKey(key)).toBe(expected)
  })

  it.each([
    [undefined, []],
    ['', []],
    ['mqtt', ['mqtt']],
    ['chat , mqtt', ['chat', 'mqtt']],
    ['a,b,\tc', ['a', 'b', 'c']],
    ['mqtt, mqtt', undefined],
    ['mqtt,', undefined],
    [',', undefined],
    ['a b', undefined],
    ['mqtt;q=1', undefined],
    ['"mqtt"', undefined],
  ])('reads the subprotocols %j as %j', (header, expected) => {
    expect(offeredProtocols(header)).toEqual(expected)
  })
})
