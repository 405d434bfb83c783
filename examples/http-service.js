// A broker inside an HTTP service: lamps publish over MQTT and are read over HTTP, and the other way round.
//
//   node examples/http-service.js
//
// HTTP_PORT: 8080 unless set. PORT, for MQTT: 1883 unless set. 0 takes any that is free.

import { once } from 'node:events'
import { createServer } from 'node:http'
import { MqttBroker } from 'gnatmq'

const broker = await MqttBroker.start({ port: Number(process.env.PORT ?? 1883) })

const lamps = new Map()
await broker.subscribe('lamp/+', ({ topic, payload }) => lamps.set(topic, payload.toString()))

const service = createServer(async (request, response) => {
  const topic = new URL(request.url, 'http://localhost').pathname.slice(1)
  if (request.method === 'GET' && topic === 'events') return events(response)
  if (!/^lamp\/\w+$/.test(topic)) return response.writeHead(404).end()
  if (request.method === 'GET') return response.end(lamps.get(topic) ?? 'unknown')
  if (request.method !== 'PUT') return response.writeHead(405, { allow: 'GET, PUT' }).end()
  let payload = ''
  for await (const text of request.setEncoding('utf8')) {
    payload += text
    if (payload.length > 1000) return response.writeHead(413, { connection: 'close' }).end()
  }
  await broker.publish({ topic, payload, qos: 1, retain: true })
  response.writeHead(204).end()
})

/** Server-sent events, until the browser goes. */
async function events(response) {
  const gone = new AbortController()
  response.once('close', () => gone.abort())
  response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
  for await (const { topic, payload } of broker.messages('lamp/+', { signal: gone.signal }))
    response.write(`data: ${JSON.stringify({ topic, payload: payload.toString() })}\n\n`)
}

service.listen(Number(process.env.HTTP_PORT ?? 8080), '127.0.0.1')
await once(service, 'listening')
const http = service.address().port

console.log(`http on port ${http}
listening on port ${broker.port}. Now, in three other terminals:

  curl -N http://localhost:${http}/events
  mosquitto_pub -h localhost -p ${broker.port} -t lamp/1 -m on
  curl -X PUT -d off http://localhost:${http}/lamp/2
`)

for (const signal of ['SIGINT', 'SIGTERM'])
  process.once(signal, async () => {
    service.close()
    service.closeAllConnections()
    await broker.stop()
  })
