// Two honest clients in a process of their own, with a clock of their own: one publishes with QoS 1, the other subscribes
// and acknowledges. argv: as JSON { port, perSecond, window, payloadBytes, connect }.
import { connect as connectSocket } from 'node:net'
import { createHistogram } from 'node:perf_hooks'
import mqttPacket from 'mqtt-packet'
import { LoopWatch } from './loop-watch.mjs'
import { answerQuestions } from './questions.mjs'

const { port, perSecond, window, payloadBytes, connect } = JSON.parse(process.argv[2])
const MS = 1e6
const topic = `honest/${process.pid}`
const now = () => Number(process.hrtime.bigint())

/** A connection with its CONNACK. Rejects when it is refused, or closed before, and says after which step. */
function client(clientId, options, localAddress = '127.0.0.1', timeoutMs = 60_000) {
  return new Promise((resolve, fail) => {
    const start = now()
    const elapsed = () => `${((now() - start) / MS).toFixed()} ms`
    let step = 'no connection yet'
    const reject = (error) => fail(new Error(`${error.message} after ${elapsed()}; ${step}`))
    const socket = connectSocket({ port, host: '127.0.0.1', localAddress, noDelay: true })
    socket.on('connect', () => {
      step = `connected after ${elapsed()}`
    })
    const parser = mqttPacket.parser({ protocolVersion: options.protocolVersion ?? 4 })
    const made = {
      socket,
      receive: () => undefined,
      send: (packet) => socket.write(mqttPacket.generate(packet, { protocolVersion: options.protocolVersion ?? 4 })),
    }
    const late = setTimeout(() => socket.destroy(new Error(`no CONNACK within ${timeoutMs} ms`)), timeoutMs)
    socket.on('data', (bytes) => parser.parse(bytes))
    socket.on('error', reject)
    socket.on('close', () => reject(new Error(`the connection of ${clientId} closed before its CONNACK`)))
    parser.on('packet', (packet) => {
      clearTimeout(late)
      if (packet.cmd !== 'connack') made.receive(packet)
      else if ((packet.returnCode ?? packet.reasonCode) === 0) resolve(made)
      else reject(new Error(`CONNACK with ${packet.returnCode ?? packet.reasonCode}`))
    })
    const protocolVersion = options.protocolVersion ?? 4
    const rest = { protocolId: 'MQTT', protocolVersion, clean: true, keepalive: 0, clientId, ...options }
    if (typeof rest.password === 'string') rest.password = Buffer.from(rest.password)
    made.send({ cmd: 'connect', ...rest })
  })
}

const watch = new LoopWatch()
const roundTrips = createHistogram()
let sent = 0
let acknowledged = 0
let delivered = 0
let repeated = 0
let outOfOrder = 0
let failure
/** The time of each message that was not delivered yet. */
const sentAt = new Map()
let highest = 0
let stopped = false
const measuring = { delivered: 0, at: now() }

const fail = (what) => () => {
  failure ??= what
}

const subscriber = await client(`honest-subscriber-${process.pid}`, connect)
subscriber.socket.on('close', fail('the subscriber was closed'))
await new Promise((resolve) => {
  subscriber.receive = resolve
  subscriber.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic, qos: 1 }] })
})
subscriber.receive = (packet) => {
  if (packet.cmd !== 'publish') return
  subscriber.send({ cmd: 'puback', messageId: packet.messageId })
  const number = packet.payload.readUInt32BE(0)
  const at = sentAt.get(number)
  if (at === undefined) {
    repeated++
    return
  }
  sentAt.delete(number)
  if (number < highest) outOfOrder++
  highest = number
  delivered++
  roundTrips.record(Math.max(1, now() - at))
}

const publisher = await client(`honest-publisher-${process.pid}`, connect)
publisher.socket.on('close', fail('the publisher was closed'))
publisher.receive = (packet) => {
  if (packet.cmd !== 'puback') return
  acknowledged++
  if (perSecond === null) publishMore()
}

function publish() {
  const payload = Buffer.alloc(payloadBytes)
  payload.writeUInt32BE(++sent, 0)
  sentAt.set(sent, now())
  publisher.send({ cmd: 'publish', topic, payload, qos: 1, messageId: (sent % 65_535) + 1 })
}

function publishMore() {
  while (!stopped && sent - acknowledged < window) publish()
}

const began = now()
function publishDue() {
  const due = Math.floor(((now() - began) / 1e9) * perSecond)
  // what a broker that stands still has not acknowledged does not grow without end
  while (sent < due && sent - acknowledged < window) publish()
  if (!stopped) setTimeout(publishDue, 1)
}

if (perSecond === null) publishMore()
else publishDue()

function report() {
  let oldest = 0
  for (const at of sentAt.values()) {
    oldest = now() - at
    break
  }
  return {
    sent,
    acknowledged,
    delivered,
    repeated,
    outOfOrder,
    lost: sentAt.size,
    perSecond: (delivered - measuring.delivered) / ((now() - measuring.at) / 1e9),
    longestMs: Math.max(roundTrips.max, oldest) / MS,
    p99Ms: roundTrips.percentile(99) / MS,
    ownDelayMs: watch.read().gapMs,
    failure,
  }
}

answerQuestions({
  reset: () => {
    roundTrips.reset()
    watch.reset()
    measuring.delivered = delivered
    measuring.at = now()
  },
  measure: report,
  /** Publishes no more, and waits up to some seconds for what is under way. */
  finish: async ({ seconds }) => {
    stopped = true
    const end = now() + seconds * 1e9
    while ((sentAt.size > 0 || acknowledged < sent) && now() < end && failure === undefined)
      await new Promise((resolve) => setTimeout(resolve, 5))
    return report()
  },
  /** Milliseconds from the opening of a new connection to its CONNACK. Rejects when it is refused. */
  newcomer: async ({ localAddress, timeoutMs = 10_000, ...options }) => {
    const start = now()
    const { socket } = await client(
      `newcomer-${process.pid}-${start}`,
      { ...connect, ...options },
      localAddress,
      timeoutMs,
    )
    const ms = (now() - start) / MS
    socket.destroy()
    return ms
  },
})
