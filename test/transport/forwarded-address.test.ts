import type { IncomingMessage } from 'node:http'
import { connectAsync } from 'mqtt'
import { describe, expect, it, onTestFinished } from 'vitest'
import { forwardedPeer, plainAddress } from '../../src/transport/forwarded-address'
import { webSocket } from '../../src/transport/websocket'
import { startBroker } from '../support/broker'

const trusted = ['10.0.0.1', '10.0.0.2', 'fd00::1']
const proxy = { remoteAddress: '::ffff:10.0.0.1', remotePort: 4711 }
const through = (header: string | undefined, peer = proxy) =>
  forwardedPeer(peer, { headers: { 'x-forwarded-for': header } } as unknown as IncomingMessage, trusted).remoteAddress

describe('the address of a client behind a proxy', () => {
  it.each([
    ['198.51.100.7', '198.51.100.7'],
    ['203.0.113.9, 198.51.100.7', '198.51.100.7'],
    ['198.51.100.7, 10.0.0.2', '198.51.100.7'],
    ['198.51.100.7,fd00::1,10.0.0.2', '198.51.100.7'],
    ['198.51.100.7:51234', '198.51.100.7'],
    ['[2001:db8::7]:443', '2001:db8::7'],
    ['2001:db8::7', '2001:db8::7'],
  ])('is read from X-Forwarded-For: %s is %s', (header, address) => {
    expect(through(header)).toBe(address)
  })

  it.each([[undefined], [''], ['unknown'], ['198.51.100.7, unknown'], ['10.0.0.2'], ['a\u001bb'], ['1.2.3']])(
    'stays that of the proxy for %j',
    (header) => {
      expect(through(header)).toBe('::ffff:10.0.0.1')
    },
  )

  it('is believed of no other peer', () => {
    expect(through('198.51.100.7', { remoteAddress: '203.0.113.9', remotePort: 1 })).toBe('203.0.113.9')
  })

  it('is compared without brackets, port and the prefix of a mapped address', () => {
    expect(['::FFFF:10.0.0.1', ' 10.0.0.1:80', '[FD00::1]'].map(plainAddress)).toEqual([
      '10.0.0.1',
      '10.0.0.1',
      'fd00::1',
    ])
  })
})

describe('trustedProxies', () => {
  it.each([['10.0.0.1'], [['proxy.example']], [['10.0.0.0/8']], [[1]]])('are addresses, not %o', (trustedProxies) => {
    expect(() => webSocket({ trustedProxies: trustedProxies as never })).toThrow(
      expect.objectContaining({ code: 'GNATMQ_OPTION_INVALID', message: expect.stringContaining('trustedProxies') }),
    )
  })

  it('tell clients apart: the failures of one bar no other', async () => {
    const broker = await startBroker({
      listeners: [webSocket({ port: 0, host: '127.0.0.1', trustedProxies: ['127.0.0.1'] })],
      limits: { maximumFailedConnectsPerAddress: 1 },
      authenticate: (_client, { password }) => password?.toString() === 'right',
    })
    const connect = async (address: string, password: string): Promise<number | string | undefined> => {
      const options = { username: 'ada', password, protocolVersion: 5 as const, reconnectPeriod: 0 }
      const wsOptions = { headers: { 'X-Forwarded-For': address } }
      try {
        const client = await connectAsync(`ws://127.0.0.1:${broker.port}/mqtt`, { ...options, wsOptions })
        onTestFinished(() => client.endAsync(true))
        return 0
      } catch (error) {
        return (error as { code?: number | string }).code
      }
    }
    expect(await connect('198.51.100.7', 'wrong')).toBe(0x86)
    expect(await connect('198.51.100.7', 'right')).toBe(0x9f)
    expect(await connect('198.51.100.8', 'right')).toBe(0)
    expect([...broker.clients.values()].map(({ remoteAddress }) => remoteAddress)).toEqual(['198.51.100.8'])
  })
})
