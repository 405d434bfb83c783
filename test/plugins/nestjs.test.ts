import 'reflect-metadata'
import { type INestApplication, Inject, Injectable, Module } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { connectAsync, type MqttClient } from 'mqtt'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { type Client, type Credentials, MqttBroker, type PublishRequest } from '../../src/index'
import { MqttBrokerModule, MqttHooks, OnMqttEvent } from '../../src/plugins/nestjs'

/** What a compiler makes of `@decorator method()`. */
function decorate(target: object, method: string, decorator: (...args: never[]) => void): void {
  const descriptor = Object.getOwnPropertyDescriptor(target, method)
  ;(decorator as (...args: unknown[]) => void)(target, method, descriptor)
}

async function started(module: new () => object): Promise<INestApplication> {
  const app = await NestFactory.create(module, { logger: false, abortOnError: false })
  onTestFinished(() => app.close())
  await app.listen(0, '127.0.0.1')
  return app
}

async function connected(url: string, options: object = {}): Promise<MqttClient> {
  const client = await connectAsync(url, { reconnectPeriod: 0, ...options })
  onTestFinished(() => void client.end(true))
  return client
}

/** The application's module with these imports and providers. */
function moduleOf(imports: unknown[], providers: unknown[] = []) {
  class AppModule {}
  Module({ imports: imports as [], providers: providers as [] })(AppModule)
  return AppModule
}

class Rights {
  readonly asked: string[] = []

  authenticate(_client: Client, { username, password }: Credentials): boolean {
    this.asked.push(`authenticate ${username}`)
    return password?.toString() === 'secret'
  }

  async authorizePublish(client: Client, { topic }: PublishRequest): Promise<boolean> {
    this.asked.push(`publish ${topic}`)
    return topic === `from/${client.username}`
  }
}
Injectable()(Rights)
MqttHooks()(Rights)

class Watcher {
  readonly seen: string[] = []

  connected(client: Client): void {
    this.seen.push(`connected ${client.clientId}`)
  }

  published({ topic }: { topic: string }): void {
    this.seen.push(`published ${topic}`)
  }
}
Injectable()(Watcher)
decorate(Watcher.prototype, 'connected', OnMqttEvent('clientConnected'))
decorate(Watcher.prototype, 'published', OnMqttEvent('published'))

class Lamps {
  constructor(readonly broker: MqttBroker) {}
}
Inject(MqttBroker)(Lamps, undefined, 0)
Injectable()(Lamps)

describe('the module for NestJS', () => {
  it('makes a broker that providers inject, which starts and stops with the application', async () => {
    const app = await started(moduleOf([MqttBrokerModule.forRoot({ port: 0 })], [Lamps]))
    const { broker } = app.get(Lamps)
    expect(app.get(MqttBroker)).toBe(broker)
    expect(broker.state).toBe('running')
    await connected(`mqtt://127.0.0.1:${broker.port}`)
    await app.close()
    expect(broker.state).toBe('stopped')
  })

  it('takes its options from a factory', async () => {
    const options = { provide: 'PORT', useValue: 0 }
    class Settings {}
    Module({ providers: [options], exports: ['PORT'] })(Settings)
    const module = MqttBrokerModule.forRootAsync({
      imports: [Settings],
      inject: ['PORT'],
      useFactory: async (port: number) => ({ port }),
    })
    expect((await started(moduleOf([module]))).get(MqttBroker).state).toBe('running')
  })

  it('asks the providers that are marked as hooks', async () => {
    const app = await started(moduleOf([MqttBrokerModule.forRoot({ port: 0 })], [Rights]))
    const url = `mqtt://127.0.0.1:${app.get(MqttBroker).port}`
    await expect(connected(url, { username: 'ada', password: 'wrong' })).rejects.toThrow()
    const client = await connected(url, { username: 'ada', password: 'secret', protocolVersion: 5 })
    await client.publishAsync('from/ada', '', { qos: 1 })
    await expect(client.publishAsync('from/grace', '', { qos: 1 })).rejects.toThrow(/Not authorized/)
    const asked = ['authenticate ada', 'authenticate ada', 'publish from/ada', 'publish from/grace']
    expect(app.get(Rights).asked).toEqual(asked)
  })

  it('calls the methods that are marked for an event', async () => {
    const app = await started(moduleOf([MqttBrokerModule.forRoot({ port: 0 })], [Watcher]))
    const { seen } = app.get(Watcher)
    const client = await connected(`mqtt://127.0.0.1:${app.get(MqttBroker).port}`, { clientId: 'lamp' })
    await client.publishAsync('on', '', { qos: 1 })
    expect(seen).toEqual(['connected lamp', 'published on'])
  })

  it('serves WebSocket on Nest’s own port, and ends with one open', async () => {
    const app = await started(moduleOf([MqttBrokerModule.forRoot({ listeners: [], webSocket: true })]))
    const client = await connected(`${(await app.getUrl()).replace('http', 'ws')}/mqtt`)
    const closed = new Promise<void>((resolve) => client.once('close', () => resolve()))
    await Promise.all([app.close(), closed])
  })

  it('ends the start of the application with a wrong option, a hook twice, or no server for a WebSocket', async () => {
    const wrong = moduleOf([MqttBrokerModule.forRoot({ prot: 1883 } as object)])
    await expect(started(wrong)).rejects.toMatchObject({ code: 'GNATMQ_OPTION_UNKNOWN' })
    const twice = moduleOf([MqttBrokerModule.forRoot({ port: 0, authenticate: () => true })], [Rights])
    await expect(started(twice)).rejects.toMatchObject({ code: 'GNATMQ_OPTION_INVALID' })
    const context = NestFactory.createApplicationContext(
      moduleOf([MqttBrokerModule.forRoot({ port: 0, webSocket: true })]),
      { logger: false, abortOnError: false },
    )
    await expect(context).rejects.toMatchObject({ code: 'GNATMQ_OPTION_INVALID' })
  })
})

describe('Nest’s MQTT transport for microservices', () => {
  it('answers requests and hears events over the broker', async () => {
    const { ClientProxyFactory, MessagePattern, EventPattern, Payload, Transport } = await import(
      '@nestjs/microservices'
    )
    const { Controller } = await import('@nestjs/common')
    const broker = await MqttBroker.start({ port: 0 })
    onTestFinished(() => broker.stop())
    const options = { url: `mqtt://127.0.0.1:${broker.port}` }
    const heard: unknown[] = []
    class Sums {
      sum(numbers: number[]): number {
        return numbers.reduce((sum, number) => sum + number, 0)
      }

      hear(data: unknown): void {
        heard.push(data)
      }
    }
    decorate(Sums.prototype, 'sum', MessagePattern('sum') as never)
    decorate(Sums.prototype, 'hear', EventPattern('lamps/+') as never)
    Payload()(Sums.prototype, 'sum', 0)
    Payload()(Sums.prototype, 'hear', 0)
    Controller()(Sums)
    class AppModule {}
    Module({ controllers: [Sums] })(AppModule)
    const service = await NestFactory.createMicroservice(AppModule, {
      transport: Transport.MQTT,
      options,
      logger: false,
    })
    await service.listen()
    onTestFinished(() => service.close())
    const client = ClientProxyFactory.create({ transport: Transport.MQTT, options })
    await client.connect()
    onTestFinished(() => client.close())
    const answer = new Promise((resolve, reject) =>
      client.send('sum', [1, 2, 3]).subscribe({ next: resolve, error: reject }),
    )
    expect(await answer).toBe(6)
    client.emit('lamps/7', { on: true })
    await vi.waitFor(() => expect(heard).toEqual([{ on: true }]))
  })
})
