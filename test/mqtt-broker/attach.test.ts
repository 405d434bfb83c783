import { once } from 'node:events'
import { createServer, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { connectAsync } from 'mqtt'
import { describe, expect, it, onTestFinished } from 'vitest'
import { MqttBroker } from '../../src/index'

const server = (): Server => createServer((_request, response) => response.end('served'))

async function open(one: Server): Promise<number> {
  one.listen(0, '127.0.0.1')
  onTestFinished(() => {
    one.close()
    one.closeAllConnections()
  })
  await once(one, 'listening')
  return (one.address() as AddressInfo).port
}

function broker(): MqttBroker {
  const made = new MqttBroker({ listeners: [] })
  onTestFinished(() => made.stop())
  return made
}

async function expectServed(url: string): Promise<void> {
  const client = await connectAsync(url, { reconnectPeriod: 0 })
  await client.endAsync()
}

/** The status of the answer to a request for a WebSocket; 101 where it is granted. */
function upgradeStatus(port: number, path: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const headers = {
      Connection: 'Upgrade',
      Upgrade: 'websocket',
      'Sec-WebSocket-Key': Buffer.alloc(16).toString('base64'),
      'Sec-WebSocket-Version': 13,
      'Sec-WebSocket-Protocol': 'mqtt',
    }
    const asked = request({ host: '127.0.0.1', port, path, headers })
    asked.once('upgrade', ({ statusCode }, socket) => {
      socket.destroy()
      resolve(statusCode)
    })
    asked.once('response', (response) => {
      response.resume()
      resolve(response.statusCode)
    })
    asked.once('error', reject)
    asked.end()
  })
}

describe('broker.attach', () => {
  it('serves MQTT on a server of the application from the start of the broker on, and after a restart', async () => {
    const one = broker()
    const http = server()
    await one.attach(http)
    const port = await open(http)
    expect(await upgradeStatus(port, '/mqtt')).toBe(200)
    for (let run = 0; run < 2; run++) {
      await one.start()
      expect(one.addresses).toEqual([{ protocol: 'ws', host: '127.0.0.1', port }])
      await expectServed(`ws://127.0.0.1:${port}/mqtt`)
      await one.stop()
    }
  })

  it('serves it at once while the broker runs, also on a server that listens later', async () => {
    const one = broker()
    await one.start()
    const http = server()
    const listening = new Promise((resolve) => one.once('listening', resolve))
    await one.attach(http, { path: '/ws' })
    await listening
    const port = await open(http)
    await expectServed(`ws://127.0.0.1:${port}/ws`)
    expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe('served')
  })

  it('refuses a path that has its broker, and what is no option; then nothing is attached', async () => {
    const http = server()
    const one = broker()
    await one.start()
    await one.attach(http)
    await expect(one.attach(http)).rejects.toMatchObject({ code: 'GNATMQ_LISTEN_FAILED' })
    await expect(one.attach(http, { port: 1 } as object)).rejects.toMatchObject({ code: 'GNATMQ_OPTION_UNKNOWN' })
    await expect(one.attach({} as Server)).rejects.toMatchObject({ code: 'GNATMQ_OPTION_INVALID' })
    expect(one.addresses).toHaveLength(1)
  })

  it('refuses a server that other machines reach, unless clients authenticate', async () => {
    const http = server()
    http.listen(0, '0.0.0.0')
    onTestFinished(() => void http.close())
    await once(http, 'listening')
    await expect(broker().attach(http)).rejects.toMatchObject({ code: 'GNATMQ_ANONYMOUS_LISTENER' })
    const one = new MqttBroker({ listeners: [], authenticate: () => true })
    await one.attach(http)
  })
})

describe('broker.use', () => {
  it('adds hooks before the start, each once', async () => {
    const one = broker()
    one.use({ authenticate: () => false })
    expect(() => one.use({ authenticate: () => true })).toThrow(
      expect.objectContaining({ code: 'GNATMQ_OPTION_INVALID' }),
    )
    expect(() => one.use({ autenticate: () => true } as object)).toThrow(
      expect.objectContaining({ code: 'GNATMQ_OPTION_UNKNOWN' }),
    )
    expect(() => one.use({ authorizePublish: 1 } as object)).toThrow(
      expect.objectContaining({ code: 'GNATMQ_OPTION_INVALID' }),
    )
    const http = server()
    await one.attach(http)
    const port = await open(http)
    await one.start()
    await expect(expectServed(`ws://127.0.0.1:${port}/mqtt`)).rejects.toThrow(/Not authorized/)
    expect(() => one.use({ authorizePublish: () => true })).toThrow(
      expect.objectContaining({ code: 'GNATMQ_ALREADY_STARTED' }),
    )
  })

  it('is what authenticate is again when userAuth is taken away', async () => {
    const one = broker()
    const authenticate = (): boolean => true
    one.use({ authenticate })
    one.userAuth = () => false
    one.userAuth = null
    const http = server()
    await one.attach(http)
    const port = await open(http)
    await one.start()
    await expectServed(`ws://127.0.0.1:${port}/mqtt`)
  })
})
