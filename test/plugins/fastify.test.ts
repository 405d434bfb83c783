import type { AddressInfo } from 'node:net'
import Fastify, { type FastifyInstance } from 'fastify'
import { connectAsync, type MqttClient } from 'mqtt'
import { describe, expect, it, onTestFinished } from 'vitest'
import { MqttBroker, tcp } from '../../src/index'
import fastifyMqtt from '../../src/plugins/fastify'

function application(): FastifyInstance {
  const app = Fastify()
  onTestFinished(() => app.close())
  return app
}

async function connected(url: string): Promise<MqttClient> {
  const client = await connectAsync(url, { reconnectPeriod: 0 })
  onTestFinished(() => void client.end(true))
  return client
}

const portOf = (app: FastifyInstance): number => (app.server.address() as AddressInfo).port

describe('the plugin for Fastify', () => {
  it('starts a broker when Fastify is ready, and stops it when Fastify closes', async () => {
    const app = application()
    await app.register(fastifyMqtt, { port: 0 })
    expect(app.mqtt.state).toBe('stopped')
    await app.ready()
    expect(app.mqtt.state).toBe('running')
    await connected(`mqtt://127.0.0.1:${app.mqtt.port}`)
    expect(app.mqtt.clients.size).toBe(1)
    await app.close()
    expect(app.mqtt.state).toBe('stopped')
  })

  it('serves WebSocket on Fastify’s own port, beside its routes, with none but that', async () => {
    const app = application()
    app.get('/', async () => ({ clients: app.mqtt.clients.size }))
    await app.register(fastifyMqtt, { listeners: [], webSocket: { path: '/ws' } })
    await app.listen({ host: '127.0.0.1', port: 0 })
    const client = await connected(`ws://127.0.0.1:${portOf(app)}/ws`)
    const [message] = await Promise.all([
      new Promise<string>((resolve) => client.on('message', (topic, payload) => resolve(`${topic} ${payload}`))),
      client.subscribeAsync('lamp', { qos: 1 }).then(() => app.mqtt.publish({ topic: 'lamp', payload: 'on', qos: 1 })),
    ])
    expect(message).toBe('lamp on')
    expect(await (await fetch(`http://127.0.0.1:${portOf(app)}/`)).json()).toEqual({ clients: 1 })
  })

  it('closes with a WebSocket open', async () => {
    const app = application()
    await app.register(fastifyMqtt, { listeners: [], webSocket: true })
    await app.listen({ host: '127.0.0.1', port: 0 })
    const client = await connected(`ws://127.0.0.1:${portOf(app)}/mqtt`)
    const closed = new Promise<void>((resolve) => client.once('close', () => resolve()))
    await Promise.all([app.close(), closed])
  })

  it('is seen by the instance that registers it and those below, and by no other', async () => {
    const app = application()
    const seen: Record<string, boolean> = {}
    app.register(async (child) => {
      await child.register(fastifyMqtt, { port: 0 })
      child.register(async (grandchild) => void (seen['below'] = grandchild.hasDecorator('mqtt')))
    })
    app.register(async (sibling) => void (seen['beside'] = sibling.hasDecorator('mqtt')))
    await app.ready()
    expect({ ...seen, above: app.hasDecorator('mqtt') }).toEqual({ below: true, beside: false, above: false })
  })

  it('takes a broker of the application’s own, and no option of one beside it', async () => {
    const broker = new MqttBroker({ listeners: [tcp({ port: 0 })] })
    const app = application()
    await app.register(fastifyMqtt, { broker })
    await app.ready()
    expect(app.mqtt).toBe(broker)
    const other = application()
    other.register(fastifyMqtt, { broker: new MqttBroker(), port: 0 })
    await expect(other.ready()).rejects.toMatchObject({ code: 'GNATMQ_OPTION_INVALID' })
  })

  it('tells of a wrong option, and of a port that is taken, by ready()', async () => {
    const wrong = application()
    wrong.register(fastifyMqtt, { prot: 1883 } as object)
    await expect(wrong.ready()).rejects.toMatchObject({ code: 'GNATMQ_OPTION_UNKNOWN' })
    const first = application()
    await first.register(fastifyMqtt, { port: 0 })
    await first.ready()
    const second = application()
    await second.register(fastifyMqtt, { port: first.mqtt.port })
    await expect(second.ready()).rejects.toMatchObject({ code: 'GNATMQ_PORT_IN_USE' })
  })

  it('logs to Fastify’s logger', async () => {
    const lines: string[] = []
    const app = Fastify({ logger: { stream: { write: (line: string) => void lines.push(line) } } })
    onTestFinished(() => app.close())
    await app.register(fastifyMqtt, { port: 0 })
    await app.ready()
    expect(lines.map((line) => JSON.parse(line))).toContainEqual(
      expect.objectContaining({ msg: 'listening', protocol: 'mqtt', port: app.mqtt.port }),
    )
  })
})
