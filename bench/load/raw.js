import { once } from 'node:events'
import { Publisher } from './publisher.js'
import { Subscriber } from './subscriber.js'

/** Towards the relay: five bytes, the role and the channel, stand for CONNECT and SUBSCRIBE. */
async function greet(client, role, channel) {
  const hello = Buffer.alloc(5, role)
  hello.writeUInt32LE(channel, 1)
  await once(client.socket, 'connect')
  client.send(hello)
}

export class RawPublisher extends Publisher {
  greet(channel) {
    return greet(this, 'P', channel)
  }
}

export class RawSubscriber extends Subscriber {
  greet(channel) {
    return greet(this, 'S', channel)
  }
}
