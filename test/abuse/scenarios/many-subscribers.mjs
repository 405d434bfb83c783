import { Buffer } from 'node:buffer'

// A listener for TCP, and subscribers within this process, each of which has a connection and reads. The argument:
// { count, topic, qos }; with `expirySeconds` their sessions last so long, and their connections end once they have subscribed.
export default function manySubscribers({ gnatmq, argument: { count, topic, qos, expirySeconds = 0 } }) {
  const local = gnatmq.inProcess()
  const subscribers = []
  const connectNext = () => {
    if (subscribers.length === count) return
    const stream = local.connect()
    subscribers.push(stream)
    const hello = [connect(`s${subscribers.length}`, expirySeconds), subscribe(topic, qos)]
    if (expirySeconds > 0) hello.push(Buffer.from([0xe0, 0]))
    stream.write(Buffer.concat(hello))
    stream.on('data', () => undefined)
    stream.once(expirySeconds > 0 ? 'close' : 'data', connectNext)
  }
  const listener = {
    exposure: 'local',
    host: undefined,
    async listen(context) {
      const address = await local.listen(context)
      for (let n = 0; n < 64; n++) connectNext()
      return address
    },
    close: () => local.close(),
  }
  return { listeners: [gnatmq.tcp({ port: 0, host: '127.0.0.1' }), listener] }
}

const text = (value) => Buffer.concat([Buffer.from([value.length >> 8, value.length & 255]), Buffer.from(value)])

function packet(first, ...parts) {
  const body = Buffer.concat(parts)
  return Buffer.concat([Buffer.from([first, body.length]), body])
}

/** Keep Alive is 0: nothing is sent later. */
function connect(clientId, expirySeconds) {
  const expiry = Buffer.from([5, 0x11, 0, 0, expirySeconds >> 8, expirySeconds & 255])
  return packet(0x10, text('MQTT'), Buffer.from([5, 2, 0, 0]), expiry, text(clientId))
}

function subscribe(topic, qos) {
  return packet(0x82, Buffer.from([0, 1, 0]), text(topic), Buffer.from([qos]))
}
