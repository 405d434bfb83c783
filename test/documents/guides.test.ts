import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
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

for (const name of ['messaging', 'testing', 'in-process', 'inspecting', 'faq', 'migrating-from-aedes'])
  describeSnippets(page(name), {})

describeSnippets(page('persistence'), { 'redis-client.mjs': withRedis })

describeSnippets(page('getting-started'), {
  'first-broker.mjs': plainBroker,
  'tls-broker.mjs': tlsBroker('ca.pem'),
})

/** An application with a route for lamps; `webSockets` tells whether MQTT is on its server too. */
const httpApplication = (webSockets: boolean): Check => ({
  async serves(workshop) {
    const port = await listening(workshop, 3000)
    const http = `http://127.0.0.1:${port}`
    const lamp = await client(await listening(workshop, 1883), { clientId: 'a-lamp' })
    const received: string[] = []
    lamp.on('message', (topic, payload) => received.push(`${topic} ${payload}`))
    await lamp.subscribeAsync('lamp/7', { qos: 1 })
    const headers = { 'content-type': 'application/json' }
    const posted = await fetch(`${http}/lamps/7`, { method: 'POST', headers, body: JSON.stringify({ state: 'off' }) })
    expect(posted.status).toBe(202)
    await vi.waitFor(() => expect(received).toEqual(['lamp/7 off']), patience)
    expect(await (await fetch(`${http}/clients`)).json()).toEqual(['a-lamp'])
    // stays open: the application must end all the same
    if (webSockets) await expectRoundTrip(await webSocketClient(port, { clientId: 'a-page' }))
  },
  ends: 0,
})

/** Runs a provider of Nest between the methods that Nest calls. */
async function expectProvider(workshop: Workshop, lines: readonly string[]): Promise<void> {
  await writeFile(workshop.path('nest.mjs'), lines.join('\n'))
  const nest = workshop.node('nest.mjs')
  expect(await nest.ended, nest.errors).toBe(0)
  expect(nest.output).toBe('running\nstopped\n')
}

describeSnippets(page('embedding'), {
  'express-app.mjs': httpApplication(false),
  'fastify-app.mjs': httpApplication(true),
  'broker.service.ts': {
    after: (workshop) =>
      expectProvider(workshop, [
        "import { BrokerService } from './broker.service.mjs'",
        'const service = new BrokerService()',
        'await service.onModuleInit()',
        'console.log(service.broker.state)',
        'await service.beforeApplicationShutdown()',
        'console.log(service.broker.state)',
      ]),
  },
  'web-broker.service.ts': {
    after: (workshop) =>
      expectProvider(workshop, [
        "import { once } from 'node:events'",
        "import { createServer } from 'node:http'",
        "import { connectAsync } from 'mqtt'",
        "import { WebBrokerService } from './web-broker.service.mjs'",
        // as in Nest, where the server is made after the providers
        'let server',
        'const service = new WebBrokerService({ httpAdapter: { getHttpServer: () => server } })',
        'server = createServer()',
        'await service.onApplicationBootstrap()',
        "await once(server.listen(0, '127.0.0.1'), 'listening')",
        "const url = 'ws://127.0.0.1:' + server.address().port + '/mqtt'",
        "const client = await connectAsync(url, { username: 'ada', password: 'secret', reconnectPeriod: 0 })",
        'console.log(service.broker.state)',
        'await service.beforeApplicationShutdown()',
        'server.close(() => console.log(service.broker.state))',
      ]),
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
