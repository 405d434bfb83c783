// The broker that is fuzzed, in a process of its own, with every transport and hooks of every kind. argv: the folder of the
// package. It tells what was new about its refusals: their code and text, without numbers.
import { createServer as createHttpServer } from 'node:http'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { LoopWatch } from '../abuse/loop-watch.mjs'
import { answerQuestions } from '../abuse/questions.mjs'

const { CertificateAuthority, inProcess, MqttBroker, ServerCertificate, tcp, tls, webSocket } = await import(
  pathToFileURL(join(process.argv[2], 'dist/index.js')).href
)
const faults = []
const note = (what) => (error) => void faults.push(`${what}: ${error?.stack ?? error}`)
process.on('uncaughtException', note('uncaught exception'))
process.on('unhandledRejection', note('unhandled rejection'))

const host = '127.0.0.1'
const authority = await CertificateAuthority.create({ name: 'Fuzz CA' })
const { cert, key } = await authority.issueServer({ name: 'localhost' })
const certificate = ServerCertificate.fromPem({ cert, key })
const opened = (server) => new Promise((resolve) => server.listen(0, host, () => resolve(server.address().port)))

const http = createHttpServer()
const attachedPort = await opened(http)
const local = inProcess()
const bridge = createServer((socket) => {
  const stream = local.connect()
  const end = () => {
    socket.destroy()
    stream.destroy()
  }
  for (const side of [socket, stream]) side.on('error', end).on('close', end)
  socket.pipe(stream).pipe(socket)
})
const bridgePort = await opened(bridge)

const later = (value) => new Promise((resolve) => setImmediate(resolve, value))
const broker = await MqttBroker.start({
  listeners: [
    tcp({ port: 0, host }),
    tls({ port: 0, host, certificate }),
    webSocket({ port: 0, host }),
    webSocket({ port: 0, host, secure: true, certificate }),
    webSocket({ server: http }),
    local,
  ],
  authenticate: (client) => (client.clientId === 'd' ? later(true) : true),
  authenticationMethods: {
    PLAIN: () => ({
      step: (data) => (data === undefined ? { continue: Buffer.from('more') } : { success: true, data }),
    }),
    SLOW: () => ({ step: () => later({ success: true }) }),
  },
  authorizePublish: (_client, { topic }) => {
    if (topic === 'é') throw new Error('no')
    return topic === 'slow' ? later(true) : topic !== 'denied'
  },
  authorizeSubscribe: (_client, { filter }) =>
    filter === 'slow' ? later({ qos: 0 }) : filter === 'denied' ? { reasonCode: 0x97, reasonString: 'no' } : true,
  logger: {
    info: () => undefined,
    warn: () => undefined,
    error: (fields, message) => {
      if (message === 'unexpected error') note(message)(fields.err)
    },
  },
  limits: {
    maximumQueuedMessages: 50,
    maximumSessionExpiryInterval: 1,
    maximumRetainedMessages: 20,
    maximumOutgoingBytes: 65_536,
    receiveMaximum: 20,
  },
})

/** The last refusals by the port of their peer, and all kinds of them. */
const byPort = new Map()
const kinds = new Set()
broker.on('clientError', (error, peer) => {
  // what is quoted and what is counted differs from one peer to the next; the statement of the specification does not
  const said = error.message.replaceAll(/\[[^\]]*\]|"[^"]*"|\b(0x[0-9a-fA-F]+|\d[\d,]*)\b/g, (part) =>
    part[0] === '[' ? part : 'N',
  )
  const kind = `${error.code}: ${said.slice(0, 150)}`
  kinds.add(kind)
  byPort.delete(peer.remotePort)
  byPort.set(peer.remotePort, kind)
  if (byPort.size > 5000) byPort.delete(byPort.keys().next().value)
})

const watch = new LoopWatch()
const [tcpPort, tlsPort, wsPort, wssPort] = broker.addresses.map(({ port }) => port)
answerQuestions({
  places: () => ({
    ports: { tcp: tcpPort, tls: tlsPort, ws: wsPort, wss: wssPort, attached: attachedPort, 'in-process': bridgePort },
    ca: authority.cert,
  }),
  /** A port is used anew. */
  forget: (port) => void byPort.delete(port),
  /** The last refusals by port. */
  refusals: () => [...byPort],
  reset: () => watch.reset(),
  state: ({ collect }) => {
    const loop = watch.read()
    if (collect) {
      globalThis.gc()
      watch.reset()
    }
    const { rss, heapUsed, external } = process.memoryUsage()
    return {
      ...loop,
      rssBytes: rss,
      heapBytes: heapUsed + external,
      faults,
      kinds: kinds.size,
      statistics: broker.statistics,
    }
  },
})
