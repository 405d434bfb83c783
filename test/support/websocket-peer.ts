import { randomBytes } from 'node:crypto'
import { connect, type Socket } from 'node:net'

/** How long a condition may take before the test has failed. */
const PATIENCE_MS = 5000

/** Opcodes of RFC 6455 section 5.2. */
export const Opcode = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const

/** A WebSocket client that sends the frames that a test writes, and notes the frames that come. */
export class WebSocketPeer {
  /** The answer to the upgrade request, up to its empty line. */
  head = ''
  /** The opcode of each frame that came. */
  readonly opcodes: number[] = []
  isClosed = false
  private rest: Buffer = Buffer.alloc(0)
  private content: Buffer = Buffer.alloc(0)
  private readonly looks = new Set<() => void>()

  private constructor(private readonly socket: Socket) {
    socket.on('data', (bytes) => this.read(bytes))
    socket.on('error', () => undefined)
    socket.on('close', () => {
      this.isClosed = true
      this.look()
    })
  }

  /** Asks for an upgrade and waits for the answer, whatever it is. */
  static async open(port: number, protocols: readonly string[] = ['mqtt'], path = '/mqtt'): Promise<WebSocketPeer> {
    const socket = connect({ port, host: '127.0.0.1' })
    const peer = new WebSocketPeer(socket)
    const offered = protocols.length === 0 ? '' : `Sec-WebSocket-Protocol: ${protocols.join(', ')}\r\n`
    const key = randomBytes(16).toString('base64')
    const headers = `Host: localhost:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n`
    socket.write(`GET ${path} HTTP/1.1\r\n${headers}Sec-WebSocket-Key: ${key}\r\n${offered}\r\n`)
    await peer.waitFor('an answer to the upgrade', () => peer.head !== '')
    return peer
  }

  /** The subprotocol that the server chose. */
  get protocol(): string | undefined {
    return /^sec-websocket-protocol: *(.*)$/im.exec(this.head)?.[1]
  }

  /** Sends one frame, masked as a client's frames are. */
  send(opcode: number, payload: Uint8Array, final = true): void {
    const mask = randomBytes(4)
    const { length } = payload
    const head = length < 126 ? [length | 0x80] : [126 | 0x80, length >> 8, length & 0xff]
    const masked = payload.map((byte, i) => byte ^ mask[i % 4]!)
    this.socket.write(Buffer.concat([Buffer.from([(final ? 0x80 : 0) | opcode, ...head]), mask, masked]))
  }

  /** The first bytes of all binary frames together, once there are so many. */
  async bytes(count: number): Promise<Buffer> {
    await this.waitFor(`${count} bytes`, () => this.content.length >= count)
    return this.content.subarray(0, count)
  }

  closed(): Promise<void> {
    return this.waitFor('the end of the connection', () => this.isClosed)
  }

  destroy(): void {
    this.socket.destroy()
  }

  private read(bytes: Buffer): void {
    this.rest = Buffer.concat([this.rest, bytes])
    if (this.head === '') this.readHead()
    if (this.head !== '') while (this.readFrame());
    this.look()
  }

  private readHead(): void {
    const end = this.rest.indexOf('\r\n\r\n')
    if (end < 0) return
    this.head = this.rest.toString('latin1', 0, end)
    this.rest = this.rest.subarray(end + 4)
  }

  private readFrame(): boolean {
    const { rest } = this
    if (rest.length < 2) return false
    const short = rest[1]! & 0x7f
    // no frame of these tests is longer than 65,535 bytes
    const start = short === 126 ? 4 : 2
    if (rest.length < start) return false
    const end = start + (short === 126 ? rest.readUInt16BE(2) : short)
    if (rest.length < end) return false
    const opcode = rest[0]! & 15
    this.opcodes.push(opcode)
    if (opcode <= Opcode.binary) this.content = Buffer.concat([this.content, rest.subarray(start, end)])
    if (opcode === Opcode.close) this.send(Opcode.close, rest.subarray(start, end))
    this.rest = rest.subarray(end)
    return true
  }

  private look(): void {
    for (const look of this.looks) look()
  }

  private waitFor(what: string, condition: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (error?: Error): void => {
        clearTimeout(timer)
        this.looks.delete(look)
        if (error === undefined) resolve()
        else reject(error)
      }
      const fail = (why: string): void =>
        settle(new Error(`${why} instead of ${what}; received ${this.content.toString('hex')}`))
      const look = (): void => {
        if (condition()) settle()
        else if (this.isClosed) fail('the connection closed')
      }
      const timer = setTimeout(() => fail(`nothing more in ${PATIENCE_MS} ms`), PATIENCE_MS)
      this.looks.add(look)
      look()
    })
  }
}
