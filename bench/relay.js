import { once } from 'node:events'
import net from 'node:net'
import { answer, ownUsage } from './answers.js'

/**
 * What a Node process can do at the most: bytes of the publishers of a channel go to its subscribers as they come, and
 * they are not looked at. The first five bytes of a connection say its role, 'P' or 'S', and its channel.
 */
const channels = new Map()

function channelOf(hello) {
  const number = hello.readUInt32LE(1)
  const subscribers = channels.get(number) ?? new Set()
  channels.set(number, subscribers)
  return subscribers
}

function relay(socket) {
  socket.on('error', () => {})
  socket.once('data', (hello) => {
    const subscribers = channelOf(hello)
    if (hello[0] === 'S'.charCodeAt(0)) {
      subscribers.add(socket)
      socket.on('close', () => subscribers.delete(socket))
      return
    }
    const forward = (bytes) => {
      for (const subscriber of subscribers) subscriber.write(bytes)
    }
    if (hello.length > 5) forward(hello.subarray(5))
    socket.on('data', forward)
  })
}

answer({
  async start() {
    const server = net.createServer({ noDelay: true }, relay)
    server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 })
    await once(server, 'listening')
    return server.address().port
  },
  usage: ownUsage,
})
