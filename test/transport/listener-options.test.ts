import { describe, expect, it } from 'vitest'
import { tcp } from '../../src/transport/tcp'
import { tls } from '../../src/transport/tls'
import { webSocket } from '../../src/transport/websocket'

describe('a listener with a misspelt option', () => {
  it.each<[string, () => unknown, string]>([
    ['tcp', () => tcp({ hosts: '127.0.0.1' } as never), 'did you mean host'],
    ['tcp', () => tcp({ requireCertificate: true } as never), 'there is no tcp.requireCertificate'],
    ['tls', () => tls({ requireCertficate: true } as never), 'did you mean requireCertificate'],
    ['tls', () => tls({ origins: [] } as never), 'there is no tls.origins'],
    ['webSocket', () => webSocket({ origin: ['https://example.org'] } as never), 'did you mean origins'],
    [
      'webSocket',
      () => webSocket({ secure: true, requireCertficate: true } as never),
      'did you mean requireCertificate',
    ],
  ])('is not made: %s', (_name, make, hint) => {
    expect(make).toThrow(
      expect.objectContaining({ code: 'GNATMQ_OPTION_UNKNOWN', message: expect.stringContaining(hint) }),
    )
  })
})
