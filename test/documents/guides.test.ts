import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import type { MqttClient } from 'mqtt'
import { expect, vi } from 'vitest'
import { WebSocket } from 'ws'
import { type Check, describeSnippets } from '../support/document'
import { textOf } from '../support/markdown-file'
import { rowsUnder } from '../support/markdown-table'
import { client, expectRoundTrip, listening, makeFiles, patience, webSocketClient } from '../support/reader'
import type { Running, Workshop } from '../support/workshop'
import { plainBroker, scramBroker, tlsBroker, withRedis } from './shared-checks'
import { expectLamps } from './web-page'

const page = (name: string): string => `docs/guides/${name}.md`

for (const name of ['messaging', 'in-process', 'inspecting', 'faq', 'migrating-from-aedes'])
  describeSnippets(page(name), {})

describeSnippets(page('testing'), {
  'lamp.spec.mjs': {
    async shows(workshop, { code }) {
      await writeFile(workshop.path('lamp.spec.mjs'), code)
      const vitest = workshop.path('node_modules/vitest/vitest.mjs')
      const run = workshop.node(vitest, 'run', '--root', workshop.folder, 'lamp.spec.mjs')
      expect(await run.ended, run.errors).toBe(0)
      expect(run.output).toContain('1 passed')
    },
  },
})

describeSnippets(page('persistence'), { 'redis-client.mjs': withRedis })

describeSnippets(page('getting-started'), {
  'first-broker.mjs': plainBroker,
  'tls-broker.mjs': tlsBroker('ca.pem'),
})

/**
 * An application with a route for lamps, and MQTT on its server too. When it is told to end, it tells its clients and ends as `end` says:
 * its exit code, or the signal that it sends itself.
 */
function httpApplication(end: number | string = 0): Check {
  const told: number[] = []
  const listen = (client: MqttClient): void => {
    client.on('disconnect', ({ reasonCode }) => told.push(reasonCode ?? 0))
  }
  return {
    async serves(workshop) {
      const port = await listening(workshop, 3000)
      const http = `http://127.0.0.1:${port}`
      const lamp = await client(await listening(workshop, 1883), { clientId: 'a-lamp', protocolVersion: 5 })
      const received: string[] = []
      lamp.on('message', (topic, payload) => received.push(`${topic} ${payload}`))
      await lamp.subscribeAsync('lamp/7', { qos: 1 })
      const body = JSON.stringify({ state: 'off' })
      const headers = { 'content-type': 'application/json' }
      expect((await fetch(`${http}/lamps/7`, { method: 'POST', headers, body })).status).toBe(202)
      await vi.waitFor(() => expect(received).toEqual(['lamp/7 off']), patience)
      expect(await (await fetch(`${http}/clients`)).json()).toEqual(['a-lamp'])
      // both stay open: the application must end all the same
      const page = await webSocketClient(port, { clientId: 'a-page', protocolVersion: 5 })
      await expectRoundTrip(page)
      listen(lamp)
      listen(page)
    },
    async after(workshop) {
      expect(await workshop.stop()).toEqual([end])
      await vi.waitFor(() => expect(told).toEqual([0x8b, 0x8b]), patience)
    },
  }
}

describeSnippets(page('embedding'), {
  'express-app.mjs': httpApplication(),
  'fastify-app.mjs': httpApplication(),
  // Nest sends itself the signal again once all is closed
  'nest-app.ts': httpApplication('SIGTERM'),
  'users.ts': {
    async after(workshop) {
      const lines = [
        "import 'reflect-metadata'",
        "import { Module } from '@nestjs/common'",
        "import { NestFactory } from '@nestjs/core'",
        "import { MqttBrokerModule } from 'gnatmq/nestjs'",
        "import { MqttBroker } from 'gnatmq'",
        "import { connectAsync } from 'mqtt'",
        "import { Users } from './users.mjs'",
        'class AppModule {}',
        'Module({ imports: [MqttBrokerModule.forRoot({ port: 0 })], providers: [Users] })(AppModule)',
        'const app = await NestFactory.create(AppModule, { logger: false })',
        'await app.init()',
        "const url = 'mqtt://127.0.0.1:' + app.get(MqttBroker).port",
        "const ada = await connectAsync(url, { username: 'ada', password: 'secret', protocolVersion: 5 })",
        "await ada.publishAsync('ada/lamp', 'on', { qos: 1 })",
        "await ada.publishAsync('bob/lamp', 'on', { qos: 1 }).catch((error) => console.log(error.message))",
        'await ada.endAsync()',
        'await app.close()',
      ]
      await writeFile(workshop.path('nest.mjs'), lines.join('\n'))
      const nest = workshop.node('nest.mjs')
      expect(await nest.ended, nest.errors).toBe(0)
      expect(nest.output).toMatch(/Not authorized/)
    },
  },
  'http-server.mjs': {
    async serves(workshop) {
      const port = await listening(workshop, 3000)
      await expectRoundTrip(await webSocketClient(port))
      await expectRoundTrip(await client(await listening(workshop, 1883)))
      expect(await (await fetch(`http://127.0.0.1:${port}`)).text()).toBe('MQTT is at /mqtt\n')
    },
    ends: 0,
  },
  'shutdown.mjs': {
    serves: async (workshop) => expectRoundTrip(await client(await listening(workshop, 1883))),
    ends: 0,
  },
})

describeSnippets(page('authorization'), {
  'hooks.mjs': {
    async serves(workshop) {
      const port = await listening(workshop, 1883)
      await expect(client(port, { username: 'ada', password: 'wrong' })).rejects.toThrow(/Bad username or password/)
      await expect(client(port)).rejects.toThrow(/Not authorized/)
      const ada = await client(port, { username: 'ada', password: 'secret', protocolVersion: 5 })
      await expectRoundTrip(ada, 'ada/lamp')
      await expect(ada.publishAsync('bob/lamp', '', { qos: 1 })).rejects.toThrow(/Not authorized/)
      const [lowered] = await ada.subscribeAsync('ada/lamps', { qos: 2 })
      expect(lowered?.qos).toBe(1)
      await expect(ada.subscribeAsync('secrets/1')).rejects.toThrow(/Not authorized/)
    },
  },
  'users.mjs': {
    async serves(workshop) {
      const port = await listening(workshop, 1883)
      await expectRoundTrip(await client(port, { username: 'ada', password: 'secret' }))
      await expect(client(port, { username: 'ada', password: 'wrong' })).rejects.toThrow(/Bad username or password/)
    },
  },
  'scram.mjs': scramBroker,
})

describeSnippets(page('websocket'), {
  'websocket-broker.mjs': {
    async serves(workshop) {
      await expectRoundTrip(await webSocketClient(await listening(workshop, 8083)))
      await expectRoundTrip(await client(await listening(workshop, 1883)))
      const wrong = new WebSocket(`ws://127.0.0.1:${workshop.port(8083)}/`, 'mqtt')
      const [error] = await once(wrong, 'error')
      expect(error.message).toContain('404')
    },
  },
  'web-page.mjs': { serves: async (workshop) => expectLamps(await listening(workshop, 3000)) },
})

async function expectProductionServer(workshop: Workshop, snippet: Running): Promise<void> {
  const port = await listening(workshop, 8883)
  const ca = readFileSync(workshop.path('MyCARoot.pem'))
  const ada = await client(port, { ca, username: 'ada', password: 'secret', protocolVersion: 5 })
  await expectRoundTrip(ada, 'ada/lamp')
  await expect(client(port, { ca, username: 'ada', password: 'wrong' })).rejects.toThrow(/Bad username or password/)
  const metrics = `http://127.0.0.1:${await listening(workshop, 3000)}`
  expect((await fetch(`${metrics}/health`)).status).toBe(200)
  expect(await (await fetch(metrics)).text()).toMatch(/^gnatmq_clients 1$/m)
  await vi.waitFor(() => expect(snippet.errors).toContain('"code":"GNATMQ_BAD_CREDENTIALS"'), patience)
  for (const line of snippet.errors.trim().split('\n')) expect(() => JSON.parse(line)).not.toThrow()
  // they are the program's log
  snippet.errors = ''
}

describeSnippets(page('operating'), {
  'server.mjs': { before: makeFiles, serves: expectProductionServer, ends: 0 },
  'gnatmq.service': {
    async shows(workshop, { code }) {
      const setting = (name: string): string => new RegExp(`^${name}=(.*)$`, 'm').exec(code)![1]!
      expect(setting('ExecStart')).toBe('/usr/bin/node server.mjs')
      expect(() => readFileSync(workshop.path('server.mjs'))).not.toThrow()
      // four steps of stop(), each of stopTimeout at most
      expect(Number(setting('TimeoutStopSec'))).toBeGreaterThan(20)
      expect(setting('ReadWritePaths')).toBe(`${setting('WorkingDirectory')}/data`)
    },
  },
  Dockerfile: {
    async shows(workshop, { code }) {
      const copied = /^COPY (server.*) \.\/$/m.exec(code)![1]!.split(' ')
      for (const file of copied) expect(() => readFileSync(workshop.path(file))).not.toThrow()
      expect(code).toContain('CMD ["node", "server.mjs"]')
    },
  },
})

describeSnippets(page('migrating-from-gnatmq-net'), { 'from-gnatmq.mjs': { before: makeFiles } })

describeSnippets(page('migrating-from-mosquitto'), {
  'mosquitto.conf': {
    async shows(_workshop, { code }) {
      const names = rowsUnder(textOf(page('migrating-from-mosquitto')), 'The configuration file').map(([name]) => name!)
      const settings = code.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
      for (const setting of settings) expect(names.join()).toContain(`\`${setting.split(' ')[0]}`)
    },
  },
  'from-mosquitto.mjs': {
    before: makeFiles,
    async serves(workshop) {
      const ca = readFileSync(workshop.path('MyCARoot.pem'))
      const user = { username: 'ada', password: 'secret', protocolVersion: 5 } as const
      const ada = await client(await listening(workshop, 8883), { ...user, ca })
      await expectRoundTrip(ada, 'devices/ada/lamp')
      await expect(ada.publishAsync('devices/bob/lamp', '', { qos: 1 })).rejects.toThrow(/Not authorized/)
      await expect(ada.subscribeAsync('#')).rejects.toThrow(/Not authorized/)
      await expectRoundTrip(await webSocketClient(await listening(workshop, 8083), user), 'devices/ada/lamp')
      await expect(webSocketClient(workshop.port(8083))).rejects.toThrow(/Not authorized/)
    },
  },
})
