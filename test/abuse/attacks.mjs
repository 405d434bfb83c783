// What hostile clients do, by name. Each attack runs until it is done, its connection has closed, or `target.end` has come.
// `target` is { ports: [tcp, webSocket, tls], username, password, number, end }.
import { randomBytes } from 'node:crypto'
import { connect as connectSocket } from 'node:net'
import mqttPacket from 'mqtt-packet'
import { frame } from '../fuzz/transports.mjs'

const host = '127.0.0.1'
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
const v5 = { protocolVersion: 5 }
const encode = (packet) => mqttPacket.generate(packet, v5)

/** Each attacker has an address of its own. */
export const addressOf = (number) => `127.0.${1 + (number >> 8)}.${number & 255}`

/** A socket whose errors are no surprise; resolves when it is open, or closed already. */
function openSocket(port, target) {
  return new Promise((resolve) => {
    const socket = connectSocket({ port, host, localAddress: addressOf(target.number), noDelay: true })
    socket.on('error', () => undefined)
    socket.once('connect', () => resolve(socket))
    socket.once('close', () => resolve(socket))
  })
}

const closed = (socket) => new Promise((resolve) => (socket.closed ? resolve() : socket.once('close', resolve)))

/** Writes a chunk and waits until the peer takes more. False once there is no use. */
async function write(socket, chunk, target) {
  if (socket.destroyed || Date.now() > target.end) return false
  if (socket.write(chunk)) return true
  let timer
  const late = new Promise((resolve) => {
    timer = setTimeout(resolve, Math.max(0, target.end - Date.now()))
  })
  await Promise.race([new Promise((resolve) => socket.once('drain', resolve)), closed(socket), late])
  clearTimeout(timer)
  return !socket.destroyed && Date.now() <= target.end
}

function connectPacket(target, options = {}) {
  const { username, password, number } = target
  return {
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: 5,
    clientId: `attacker-${number}-${Math.floor(Math.random() * 1000)}`,
    clean: true,
    keepalive: 0,
    username,
    password: Buffer.from(password),
    ...options,
  }
}

/** A connection after its CONNACK, or closed without one. */
async function open(target, options) {
  const socket = await openSocket(target.ports[0], target)
  const first = new Promise((resolve) => socket.once('data', resolve))
  if (!socket.destroyed) socket.write(encode(connectPacket(target, options)))
  await Promise.race([first, closed(socket), pause(5000)])
  socket.resume()
  return socket
}

async function openWebSocket(target) {
  const socket = await openSocket(target.ports[1], target)
  const first = new Promise((resolve) => socket.once('data', resolve))
  const key = randomBytes(16).toString('base64')
  if (!socket.destroyed)
    socket.write(
      `GET /mqtt HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n`,
    )
  await Promise.race([first, closed(socket), pause(5000)])
  socket.resume()
  return socket
}

function variableByteInteger(value) {
  const bytes = []
  let rest = value
  do {
    const more = rest >= 128
    bytes.push((rest % 128) | (more ? 0x80 : 0))
    rest = Math.floor(rest / 128)
  } while (rest > 0)
  return Buffer.from(bytes)
}

const whole = (first, ...parts) => {
  const body = Buffer.concat(parts)
  return Buffer.concat([Buffer.from([first]), variableByteInteger(body.length), body])
}

const text = (value) => {
  const bytes = Buffer.from(value)
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes])
}

const noProperties = Buffer.from([0])
const publish = (topic, payload = 'x', flags = 0) =>
  whole(0x30 | flags, text(topic), noProperties, Buffer.from(payload))

/** SUBSCRIBEs for as many filters as fit into packets of so many bytes. */
function* subscribes(filters, packetBytes = 60_000, options = 0) {
  let parts = []
  let size = 0
  let identifier = 0
  const packet = () => {
    identifier = (identifier % 65_535) + 1
    return whole(0x82, Buffer.from([identifier >> 8, identifier & 255]), noProperties, ...parts)
  }
  for (const filter of filters) {
    parts.push(text(filter), Buffer.from([options]))
    size += filter.length + 3
    if (size < packetBytes) continue
    yield packet()
    parts = []
    size = 0
  }
  if (parts.length > 0) yield packet()
}

function* doubling(levels) {
  for (let n = 0; n < 2 ** levels; n++)
    yield `${Array.from({ length: levels }, (_, i) => ((n >> i) & 1 ? '+' : 'a')).join('/')}/#`
}

function* numbered(count, make) {
  for (let n = 0; n < count; n++) yield make(n)
}

async function writeAll(socket, chunks, target) {
  for (const chunk of chunks) if (!(await write(socket, chunk, target))) return
}

/** A property block full of User Properties, about 60 kB. */
function userProperties(bytes = 60_000) {
  const one = Buffer.concat([Buffer.from([38]), text(''), text('')])
  const block = Buffer.alloc(Math.floor(bytes / one.length) * one.length)
  for (let at = 0; at < block.length; at += one.length) one.copy(block, at)
  return Buffer.concat([variableByteInteger(block.length), block])
}

/** Before CONNECT is accepted: no right password is needed. */
export const outside = {
  async wrongPasswords(target) {
    for (let n = 0; n < 500 && Date.now() < target.end; n++) {
      const socket = await openSocket(target.ports[0], target)
      if (!socket.destroyed) socket.write(encode(connectPacket(target, { password: Buffer.from(`guess ${n}`) })))
      if (n % 50 === 49) await pause(20)
      setTimeout(() => socket.destroy(), 1000).unref()
    }
  },
  async connectAndClose(target) {
    for (let n = 0; n < 2000 && Date.now() < target.end; n++) {
      const socket = await openSocket(target.ports[0], target)
      socket.resetAndDestroy()
    }
  },
  async clientHellos(target) {
    const hello = Buffer.concat([Buffer.from('160301020001fc0303', 'hex'), randomBytes(32), Buffer.alloc(468)])
    for (let n = 0; n < 300 && Date.now() < target.end; n++) {
      const socket = await openSocket(target.ports[2], target)
      if (!socket.destroyed) socket.end(hello)
      setTimeout(() => socket.destroy(), 200).unref()
    }
  },
  async halfOpen(target) {
    const sockets = await Promise.all(Array.from({ length: 50 }, () => openSocket(target.ports[0], target)))
    for (const socket of sockets) if (!socket.destroyed) socket.write(Buffer.from([0x10, 0xff, 0xff, 0x03]))
    await pause(Math.min(3000, Math.max(0, target.end - Date.now())))
    for (const socket of sockets) socket.destroy()
  },
  async fragmentsOfOneByte(target) {
    const socket = await openWebSocket(target)
    const fragments = Buffer.concat(Array.from({ length: 2000 }, () => frame(0, Buffer.of(0xff), { final: false })))
    if (!(await write(socket, frame(2, Buffer.from([0x10]), { final: false }), target))) return
    await writeAll(
      socket,
      numbered(30, () => fragments),
      target,
    )
    socket.destroy()
  },
  async connectOfUserProperties(target) {
    const { username, password } = { ...target, password: 'wrong' }
    const rest = [text(`p${target.number}`), text(username), text(password)]
    const packet = whole(0x10, text('MQTT'), Buffer.from([5, 0xc2, 0, 0]), userProperties(), ...rest)
    for (let n = 0; n < 100 && Date.now() < target.end; n++) {
      const socket = await openSocket(target.ports[0], target)
      if (!socket.destroyed) socket.end(packet)
      socket.resume()
      setTimeout(() => socket.destroy(), 500).unref()
      await pause(5)
    }
  },
  async garbage(target) {
    for (let n = 0; n < 100 && Date.now() < target.end; n++) {
      const socket = await openSocket(target.ports[n % 3], target)
      if (!socket.destroyed) socket.end(randomBytes(5000))
      socket.resume()
      setTimeout(() => socket.destroy(), 500).unref()
    }
  },
}

/** With a right password. */
export const inside = {
  async filtersThatAllMatch(target) {
    const socket = await open(target)
    await writeAll(socket, subscribes(doubling(16)), target)
    const packet = publish('a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a')
    await writeAll(
      socket,
      numbered(200, () => packet),
      target,
    )
    await pause(500)
    socket.destroy()
  },
  async oneFilterManyTimes(target) {
    const socket = await open(target)
    await writeAll(
      socket,
      subscribes(
        numbered(100_000, () => '+/zzz'),
        1_000_000,
      ),
      target,
    )
    await pause(500)
    socket.destroy()
  },
  async deepRetained(target) {
    const socket = await open(target)
    const rest = '/x'.repeat(126)
    await writeAll(
      socket,
      numbered(5000, (n) => publish(`${target.number}-${n}${rest}`, 'x', n & 1)),
      target,
    )
    socket.destroy()
  },
  async deepFilters(target) {
    const socket = await open(target)
    const rest = '/y'.repeat(120)
    await writeAll(
      socket,
      subscribes(
        numbered(60_000, (n) => `${target.number}-${n}${rest}`),
        8_000_000,
      ),
      target,
    )
    await pause(500)
    socket.destroy()
  },
  async neverAcknowledges(target) {
    const properties = { sessionExpiryInterval: 600, receiveMaximum: 65_535 }
    const reader = await open(target, { clean: false, properties })
    const topic = `never/${target.number}`
    await writeAll(reader, subscribes([topic], 100, 2), target)
    const writer = await open(target)
    const payload = Buffer.alloc(100_000)
    let identifier = 0
    const packet = () => {
      identifier = (identifier % 65_535) + 1
      return whole(0x32, text(topic), Buffer.from([identifier >> 8, identifier & 255]), noProperties, payload)
    }
    await writeAll(writer, numbered(500, packet), target)
    writer.destroy()
    reader.destroy()
  },
  async outgoingAliases(target) {
    const reader = await open(target, { properties: { topicAliasMaximum: 65_535 } })
    await writeAll(reader, subscribes([`alias/${target.number}/#`], 100), target)
    const writer = await open(target)
    const long = 'z'.repeat(60_000)
    await writeAll(
      writer,
      numbered(500, (n) => publish(`alias/${target.number}/${n}${long}`)),
      target,
    )
    writer.destroy()
    reader.destroy()
  },
  async willsAndLongIdentifiers(target) {
    for (let n = 0; n < 50 && Date.now() < target.end; n++) {
      const will = {
        topic: `will/${n}`,
        payload: Buffer.alloc(64_000),
        qos: 1,
        retain: false,
        properties: { willDelayInterval: 0xffffffff },
      }
      const clientId = `${target.number}-${n}-${'i'.repeat(n & 1 ? 50 : 40_000)}`
      const properties = { sessionExpiryInterval: 0xffffffff }
      const socket = await open(target, { clientId, clean: false, properties, ...(n & 1 ? { will } : {}) })
      socket.destroy()
    }
  },
  async slowReader(target) {
    const reader = await open(target)
    await writeAll(reader, subscribes([`slow/${target.number}`], 100), target)
    reader.pause()
    const writer = await open(target)
    const packet = publish(`slow/${target.number}`, Buffer.alloc(15_000_000))
    await writeAll(
      writer,
      numbered(3, () => packet),
      target,
    )
    await pause(1000)
    writer.destroy()
    reader.destroy()
  },
  async manyRetained(target) {
    const socket = await open(target)
    await writeAll(
      socket,
      numbered(20_000, (n) => publish(`retained/${target.number}/${n}`, 'x', 1)),
      target,
    )
    socket.destroy()
  },
  async userPropertiesEverywhere(target) {
    for (let n = 0; n < 30 && Date.now() < target.end; n++) {
      const socket = await open(target)
      const block = userProperties(n % 3 === 0 ? 10_000_000 : 60_000)
      const packets = [
        whole(0x40, Buffer.from([0, 1, 0]), block),
        whole(0xe0, Buffer.from([0]), block),
        whole(0xf0, Buffer.from([0x19]), block),
      ]
      await write(socket, packets[n % 3], target)
      await pause(50)
      socket.destroy()
    }
  },
  async fullWebSocketMessage(target) {
    const socket = await openWebSocket(target)
    if (!(await write(socket, frame(2, encode(connectPacket(target))), target))) return
    const packets = Buffer.alloc(9 * 400_000, publish('w/w', ''))
    await write(socket, frame(2, packets), target)
    await pause(1000)
    socket.destroy()
  },
  async resumesManySubscriptions(target) {
    const options = { clientId: `resume-${target.number}`, clean: false, properties: { sessionExpiryInterval: 600 } }
    const first = await open(target, options)
    await writeAll(first, subscribes(numbered(20_000, (n) => `resume/${target.number}/${n}`)), target)
    await pause(500)
    for (let n = 0; n < 20 && Date.now() < target.end; n++)
      await open(target, options).then((socket) => socket.destroy())
  },
  async takesTheVictimsPlace(target) {
    for (let n = 0; n < 20 && Date.now() < target.end; n++) {
      const socket = await open(target, { clientId: target.victim, clean: false })
      await pause(20)
      socket.destroy()
    }
  },
  async manySharedGroups(target) {
    const socket = await open(target)
    await writeAll(socket, subscribes(numbered(65_536, (n) => `$share/${n}/s`)), target)
    const packet = publish('s')
    await writeAll(
      socket,
      numbered(50, () => packet),
      target,
    )
    await pause(500)
    socket.destroy()
  },
}
