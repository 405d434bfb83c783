import net from 'node:net'
import tls from 'node:tls'
import { encodeConnect, encodeSubscribe, encodeUnsubscribe, packetLength, pingreqPacket } from './packets.js'

const chunkBytes = 512 * 1024

/** All connections read into one buffer: nothing in it is kept after the callback, and nothing is allocated for a read. */
const chunk = Buffer.allocUnsafeSlow(chunkBytes)

/** Acknowledgements of one chunk. They are shorter than what they acknowledge, so a buffer of a chunk's size is enough. */
let acknowledgements = Buffer.allocUnsafeSlow(chunkBytes)
let acknowledgementsLength = 0

/**
 * One connection of the load. `target` is { port, tls? }. Packets are cut by their fixed headers; what is in them is a
 * subclass's matter: `walk(bytes, from, to)` takes whole packets and answers where the first incomplete one begins.
 */
export class Client {
  pending = false
  closing = false
  #rest = Buffer.allocUnsafeSlow(64)
  #restLength = 0

  constructor(target, onFailure) {
    const onread = {
      buffer: chunk,
      callback: (length, bytes) => {
        this.read(bytes, length)
        return true
      },
    }
    const options = { host: '127.0.0.1', port: target.port, onread }
    this.socket = target.tls
      ? tls.connect({ ...options, ca: target.tls.ca, servername: 'localhost', minVersion: 'TLSv1.3' })
      : net.connect(options)
    this.socket.setNoDelay(true)
    this.failed = onFailure
    this.written = () => {
      if (this.pending && this.socket.writableLength === 0) {
        this.pending = false
        this.drained()
      }
    }
    this.socket.on('error', (error) => this.closing || onFailure(error))
    this.socket.on('close', () => this.closing || onFailure(new Error('the broker closed a connection')))
  }

  /** Sends CONNECT and resolves with the Session Present flag. */
  async connect({ clientId, version, clean }) {
    this.send(encodeConnect({ clientId, version, clean }))
    const connack = await this.answer(2)
    if (connack.bytes[connack.at + 1] !== 0)
      throw new Error(`the broker refused CONNECT with ${connack.bytes[connack.at + 1]}`)
    return (connack.bytes[connack.at] & 1) === 1
  }

  /** One packet; resolves when it is acknowledged. */
  async subscribe(filters, qos, version) {
    this.send(encodeSubscribe({ packetIdentifier: 1, filters, qos, version }))
    const suback = await this.answer(9)
    if (suback.bytes.subarray(-filters.length).some((code) => code >= 0x80))
      throw new Error('the broker refused SUBSCRIBE')
  }

  /** One packet; resolves when it is acknowledged. */
  async unsubscribe(filters, version) {
    this.send(encodeUnsubscribe({ packetIdentifier: 1, filters, version }))
    await this.answer(11)
  }

  /** Resolves when the broker has taken all that was sent before. */
  async ping() {
    this.send(pingreqPacket)
    await this.answer(13)
  }

  /** Resolves with the next packet of this type: a copy. For what happens before the clock starts. */
  answer(type) {
    return new Promise((resolve) => {
      this.awaited = { type, resolve }
    })
  }

  /** A packet that no subclass counts. `at` is where its variable header begins. */
  other(bytes, from, at, end) {
    const type = bytes[from] >> 4
    if (this.awaited?.type === type) {
      const { resolve } = this.awaited
      this.awaited = undefined
      resolve({ bytes: Buffer.from(bytes.subarray(at, end)), at: 0 })
    } else if (type === 14) this.failed(new Error(`the broker sent DISCONNECT ${end > at ? bytes[at] : 0}`))
  }

  walk(bytes, from, to) {
    let position = from
    for (;;) {
      const length = packetLength(bytes, position, to)
      if (length === 0 || position + length > to) return position
      let at = position + 1
      while (bytes[at++] > 127);
      this.other(bytes, position, at, position + length)
      position += length
    }
  }

  read(bytes, length) {
    let at = 0
    if (this.#restLength > 0) at = this.#completeRest(bytes, length)
    if (at < length) at = this.walk(bytes, at, length)
    if (at < length) {
      if (this.#rest.length < length - at) this.#rest = Buffer.allocUnsafeSlow(length - at)
      this.#restLength = bytes.copy(this.#rest, 0, at, length)
    }
    this.flush()
  }

  /** Completes the packet that the last chunk broke off, and it alone. Answers where the bytes after it begin. */
  #completeRest(bytes, length) {
    let at = 0
    while (at < length) {
      const total = packetLength(this.#rest, 0, this.#restLength)
      const missing = total === 0 ? 1 : Math.min(total - this.#restLength, length - at)
      if (this.#rest.length < Math.max(total, this.#restLength + 1))
        this.#rest = Buffer.concat([this.#rest.subarray(0, this.#restLength)], Math.max(total, 64))
      bytes.copy(this.#rest, this.#restLength, at, at + missing)
      this.#restLength += missing
      at += missing
      if (packetLength(this.#rest, 0, this.#restLength) === this.#restLength) {
        const whole = this.#restLength
        this.#restLength = 0
        this.walk(this.#rest, 0, whole)
        return at
      }
    }
    return at
  }

  send(bytes) {
    this.socket.write(bytes, this.written)
    this.pending = this.socket.writableLength > 0
  }

  /** Collects what `flush` sends at the end of the chunk. */
  acknowledge(type, high, low) {
    acknowledgements[acknowledgementsLength] = type
    acknowledgements[acknowledgementsLength + 1] = 2
    acknowledgements[acknowledgementsLength + 2] = high
    acknowledgements[acknowledgementsLength + 3] = low
    acknowledgementsLength += 4
  }

  flush() {
    if (acknowledgementsLength === 0) return
    this.send(acknowledgements.subarray(0, acknowledgementsLength))
    // bytes that the kernel has not taken must not change
    if (this.pending) acknowledgements = Buffer.allocUnsafeSlow(chunkBytes)
    acknowledgementsLength = 0
  }

  drained() {}

  close() {
    this.closing = true
    // a reset leaves no TIME_WAIT behind, of which thousands would use up the ports; TLS cannot do it
    if (this.socket instanceof tls.TLSSocket) this.socket.destroy()
    else this.socket.resetAndDestroy()
  }
}
