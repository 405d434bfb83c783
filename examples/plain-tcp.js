// A broker for this machine: MQTT over TCP, no certificate, no password.
// Without an authenticate hook it listens on the loopback interface only.
//
//   node examples/plain-tcp.js
//
// PORT: 1883 unless set; 0 takes any that is free.

import { MqttBroker } from 'gnatmq'

const broker = new MqttBroker({ port: Number(process.env.PORT ?? 1883) })

broker.on('clientConnected', ({ clientId, remoteAddress }) => console.log(`${clientId} came from ${remoteAddress}`))
broker.on('clientDisconnected', ({ clientId }) => console.log(`${clientId} went`))

// The application takes part without a connection of its own.
await broker.subscribe('lamp/+', ({ topic, payload }) => console.log(`${topic}: ${payload}`))

await broker.start()
await broker.publish({ topic: 'lamp/1', payload: 'off', retain: true })

console.log(`listening on port ${broker.port}. Now, in two other terminals:

  mosquitto_sub -h localhost -p ${broker.port} -t 'lamp/#' -v
  mosquitto_pub -h localhost -p ${broker.port} -t lamp/1 -m on
`)

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => broker.stop())
