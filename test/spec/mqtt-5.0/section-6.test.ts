import { describe, expect, it, onTestFinished } from 'vitest'
import { webSocket } from '../../../src/transport/websocket'
import { block, bytes, packet, string, u16 } from '../../protocol/packet-bytes'
import { startBroker } from '../../support/broker'
import { Opcode, WebSocketPeer } from '../../support/websocket-peer'

const startWebSocketBroker = () => startBroker({ listeners: [webSocket({ port: 0, path: '/mqtt' })] })

async function open(port: number, protocols?: readonly string[]): Promise<WebSocketPeer> {
  const peer = await WebSocketPeer.open(port, protocols)
  onTestFinished(() => peer.destroy())
  expect(peer.head).toMatch(/^HTTP\/1\.1 101 /)
  return peer
}

const connect = packet(0x10, string('MQTT'), 5, 2, u16(0), block(), string('socket'))
const subscribe = packet(0x82, u16(1), block(), string('a'), 1)
const publish = packet(0x30, string('a'), block(), Buffer.alloc(300, 'x'))
const pingreq = packet(0xc0)
const suback = packet(0x90, u16(1), block(), 1)
const pingresp = packet(0xd0)

/** Waits for CONNACK and what comes behind it. */
async function answers(peer: WebSocketPeer, ...expected: Buffer[]): Promise<void> {
  const head = await peer.bytes(2)
  expect(head[0]).toBe(0x20)
  const connackLength = 2 + head[1]!
  const rest = bytes(...expected)
  const whole = await peer.bytes(connackLength + rest.length)
  expect(whole[3]).toBe(0)
  expect(whole.subarray(connackLength)).toEqual(rest)
}

describe('section 6: WebSocket', () => {
  it('[MQTT-6.0.0-1] packets of the broker come in binary frames', async () => {
    const peer = await open((await startWebSocketBroker()).port)
    for (const sent of [connect, subscribe, publish, pingreq]) peer.send(Opcode.binary, sent)
    await answers(peer, suback, publish, pingresp)
    // a frame may be cut into several, and only the first of them says what it is
    const opcodes = peer.opcodes.filter((opcode) => opcode !== Opcode.continuation)
    expect(new Set(opcodes)).toEqual(new Set([Opcode.binary]))
  })

  it('[MQTT-6.0.0-1] a text frame closes the connection, before CONNECT and after', async () => {
    const { port } = await startWebSocketBroker()
    const early = await open(port)
    early.send(Opcode.text, connect)
    await early.closed()
    expect(early.opcodes).not.toContain(Opcode.binary)
    const late = await open(port)
    late.send(Opcode.binary, connect)
    await answers(late)
    late.send(Opcode.text, pingreq)
    await late.closed()
  })

  it('[MQTT-6.0.0-2] one frame may hold several packets', async () => {
    const peer = await open((await startWebSocketBroker()).port)
    peer.send(Opcode.binary, bytes(connect, subscribe, publish, pingreq))
    await answers(peer, suback, publish, pingresp)
  })

  it.each([1, 3, 7, 100])('[MQTT-6.0.0-2] a packet may come in frames of %i bytes', async (size) => {
    const peer = await open((await startWebSocketBroker()).port)
    const sent = bytes(connect, subscribe, publish, pingreq)
    for (let at = 0; at < sent.length; at += size) peer.send(Opcode.binary, sent.subarray(at, at + size))
    await answers(peer, suback, publish, pingresp)
  })

  it('[MQTT-6.0.0-2] an error is told in a frame, and the connection closes', async () => {
    const peer = await open((await startWebSocketBroker()).port)
    peer.send(Opcode.binary, connect)
    await answers(peer)
    const before = peer.opcodes.length
    peer.send(Opcode.binary, packet(0x36, string('a'), u16(1), block()))
    await peer.closed()
    expect(peer.opcodes.slice(before)).toContain(Opcode.binary)
  })

  it.each([[['mqtt']], [['chat', 'mqtt']], [['mqtt', 'chat']]])(
    '[MQTT-6.0.0-4] of the subprotocols %j the broker picks mqtt',
    async (protocols) => {
      const peer = await open((await startWebSocketBroker()).port, protocols)
      expect(peer.protocol).toBe('mqtt')
      peer.send(Opcode.binary, connect)
      await answers(peer)
    },
  )

  it.each([[[]], [['chat']], [['mqttv5']]])(
    '[MQTT-6.0.0-3] a client that offers %j instead of mqtt is not served',
    async (protocols) => {
      const { port } = await startWebSocketBroker()
      const peer = await WebSocketPeer.open(port, protocols)
      onTestFinished(() => peer.destroy())
      expect(peer.head).not.toMatch(/^HTTP\/1\.1 101 /)
      await peer.closed()
    },
  )
})
