import { once } from 'node:events'
import net from 'node:net'
import secure from 'node:tls'
import { Aedes } from 'aedes'
import { answer, ownUsage } from '../answers.js'

answer({
  /** `tls` is { cert, key } or nothing. */
  async start({ tls }) {
    const broker = await Aedes.createBroker({
      authorizePublish(client, packet, done) {
        done(packet.topic.length > 0 && client.connected ? null : new Error('not authorised'))
      },
    })
    const server = tls
      ? secure.createServer({ ...tls, minVersion: 'TLSv1.3' }, broker.handle)
      : net.createServer(broker.handle)
    server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 })
    await once(server, 'listening')
    return server.address().port
  },
  usage: ownUsage,
})
