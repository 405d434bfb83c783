import { Buffer } from 'node:buffer'

// A listener for TCP, and subscribers within this process, each of which has a connection and reads. The argument:
// { count, topic, qos }, and `lasting` for sessions that outlive their connection.
export default function manySubscribers({ gnatmq, argument: { count, topic, qos, lasting = false } }) {
  const local = gnatmq.inProcess()
  const subscribers = []
  const connectNext = () => {
    if (subscribers.length === count) return
    const stream = local.connect()
    subscribers.push(stream)
    stream.write(Buffer.concat([connect(`s${subscribers.length}`, lasting), subscribe(topic, qos)]))
    stream.on('data', () => undefined)
    stream.once('data', connectNext)
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
function connect(clientId, lasting) {
  return packet(0x10, text('MQTT'), Buffer.from([4, lasting ? 0 : 2, 0, 0]), text(clientId))
}

function subscribe(topic, qos) {
  return packet(0x82, Buffer.from([0, 1]), text(topic), Buffer.from([qos]))
}
