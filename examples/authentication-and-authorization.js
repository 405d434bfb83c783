// User names, passwords and rights: alice may do everything, a sensor may publish its own readings, and the display may
// only subscribe.
//
//   node examples/authentication-and-authorization.js
//
// PORT: 1883 unless set; 0 takes any that is free. HOST: 127.0.0.1 unless set. Passwords travel in plain text here: with
// a certificate, as in walk-through.js, they don't.

import { hashPassword, MqttBroker, PasswordFile } from 'gnatmq'

// As "npx gnatmq passwd FILE USER" writes it; PasswordFile.read(FILE) reads it.
const passwords = { alice: 'wonderland', 'sensor-1': 'measure', display: 'look' }
const lines = await Promise.all(
  Object.entries(passwords).map(async ([name, word]) => `${name}:${await hashPassword(word)}`),
)
const users = PasswordFile.parse(lines.join('\n'), 'the users of this example')

const broker = new MqttBroker({
  port: Number(process.env.PORT ?? 1883),
  host: process.env.HOST ?? '127.0.0.1',

  authenticate: (_client, { username, password }) => users.verify(username, password),

  // An answer at once keeps the fast path; false alone would do, a Reason Code and a reason say more to MQTT 5 clients.
  authorizePublish({ username }, { topic }) {
    if (username === 'alice') return true
    if (username !== 'display' && topic === `readings/${username}`) return true
    return { reasonCode: 0x87, reasonString: `${username} may not publish to ${topic}` }
  },

  authorizeSubscribe({ username }, { filter, qos }) {
    if (username === 'alice') return true
    // whatever it asks for, the display gets QoS 1 at the most
    return username === 'display' && filter.startsWith('readings/') && { qos: Math.min(qos, 1) }
  },
})
broker.on('clientError', ({ code, message }, _peer, client) =>
  console.log(`${client?.username ?? '?'}: ${message} (${code})`),
)
await broker.start()

console.log(`listening on port ${broker.port}. Now, in three other terminals:

  mosquitto_sub -h localhost -p ${broker.port} -u display -P look -t 'readings/+' -v
  mosquitto_pub -h localhost -p ${broker.port} -u sensor-1 -P measure -t readings/sensor-1 -m 21
  mosquitto_pub -h localhost -p ${broker.port} -u display -P look -t readings/sensor-1 -m 100 -V 5 -q 1
`)

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => broker.stop())
