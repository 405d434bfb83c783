// Connections that come again and again, in a process of its own. argv: as JSON { kind, port, sockets, localAddress }.
// kind: 'close' connects and closes at once, 'reset' with a reset; 'hello' sends the ClientHello of TLS and closes when it is
// answered; 'guess' sends a CONNECT with a wrong password, and stays until it is refused.
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { connect as connectTls } from 'node:tls'
import mqttPacket from 'mqtt-packet'
import { answerQuestions } from './questions.mjs'

const { kind, port, sockets, localAddress = '127.0.0.1' } = JSON.parse(process.argv[2])
let rounds = 0
let running = true

/** What a TLS client says first. */
async function clientHello() {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = connectTls({ port: server.address().port, host: '127.0.0.1', rejectUnauthorized: false })
  client.on('error', () => undefined)
  const [socket] = await once(server, 'connection')
  const [hello] = await once(socket, 'data')
  socket.destroy()
  server.close()
  return hello
}

const hello = kind === 'hello' ? await clientHello() : undefined

function begin(number) {
  if (!running) return
  const socket = connect({ port, host: '127.0.0.1', localAddress, noDelay: true })
  socket.on('error', () => undefined)
  socket.on('close', () => {
    rounds++
    setImmediate(() => begin(number))
  })
  if (kind === 'close') socket.on('connect', () => socket.destroy())
  else if (kind === 'reset') socket.on('connect', () => socket.resetAndDestroy())
  else socket.on('data', () => socket.destroy())
  if (kind === 'hello') socket.write(hello)
  if (kind !== 'guess') return
  const fixed = { cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clean: true, keepalive: 0 }
  socket.write(
    mqttPacket.generate({
      ...fixed,
      clientId: `g${number}`,
      username: 'ada',
      password: Buffer.from(`wrong ${rounds}`),
    }),
  )
}

answerQuestions({
  start: () => {
    for (let number = 0; number < sockets; number++) begin(number)
  },
  rounds: () => rounds,
  stop: () => {
    running = false
  },
})
