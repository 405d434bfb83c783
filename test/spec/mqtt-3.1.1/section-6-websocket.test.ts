import { describe, expect, it, onTestFinished } from 'vitest'
import { webSocket } from '../../../src/transport/websocket'
import { bytes, packet, string, u16 } from '../../protocol/packet-bytes'
import { startBroker } from '../../support/broker'
import { Opcode, WebSocketPeer } from '../../support/websocket-peer'
import { connectBytes } from './connect-bytes'

const startWebSocketBroker = () => startBroker({ listeners: [webSocket({ port: 0, path: '/mqtt' })] })

async function open(port: number, protocols?: readonly string[]): Promise<WebSocketPeer> {
  const peer = await WebSocketPeer.open(port, protocols)
  onTestFinished(() => peer.destroy())
  expect(peer.head).toMatch(/^HTTP\/1\.1 101 /)
  return peer
}

const accepted = packet(0x20, 0, 0)
const subscribe = packet(0x82, u16(1), string('a'), 1)
const suback = packet(0x90, u16(1), 1)
const publish = packet(0x30, string('a'), Buffer.alloc(300, 'x'))
const pingreq = packet(0xc0)
const pingresp = packet(0xd0)

describe('MQTT 3.1.1 chapter 6, WebSocket', () => {
  it('[MQTT-6.0.0-1] packets of the server come in binary frames', async () => {
    const peer = await open((await startWebSocketBroker()).port)
    for (const sent of [connectBytes(), subscribe, publish, pingreq]) peer.send(Opcode.binary, sent)
    const answers = bytes(accepted, suback, publish, pingresp)
    expect(await peer.bytes(answers.length)).toEqual(answers)
    // a frame may be cut into several, and only the first of them says what it is
    expect(new Set(peer.opcodes.filter((opcode) => opcode !== Opcode.continuation))).toEqual(new Set([Opcode.binary]))
  })

  it('[MQTT-6.0.0-1] a text frame closes the connection', async () => {
    const broker = await startWebSocketBroker()
    const first = await open(broker.port)
    first.send(Opcode.text, connectBytes())
    await first.closed()
    expect(first.opcodes).not.toContain(Opcode.binary)
    const second = await open(broker.port)
    second.send(Opcode.binary, connectBytes())
    await second.bytes(accepted.length)
    second.send(Opcode.text, pingreq)
    await second.closed()
    expect(second.opcodes.filter((opcode) => opcode === Opcode.binary)).toHaveLength(1)
  })

  it('[MQTT-6.0.0-2] one frame holds several packets', async () => {
    const peer = await open((await startWebSocketBroker()).port)
    peer.send(Opcode.binary, bytes(connectBytes(), subscribe, publish, pingreq))
    const answers = bytes(accepted, suback, publish, pingresp)
    expect(await peer.bytes(answers.length)).toEqual(answers)
  })

  it.each([1, 2, 5, 100])('[MQTT-6.0.0-2] packets are cut into frames of %i bytes', async (size) => {
    const peer = await open((await startWebSocketBroker()).port)
    const sent = bytes(connectBytes(), subscribe, publish, pingreq)
    for (let at = 0; at < sent.length; at += size) peer.send(Opcode.binary, sent.subarray(at, at + size))
    const answers = bytes(accepted, suback, publish, pingresp)
    expect(await peer.bytes(answers.length)).toEqual(answers)
  })

  it('[MQTT-6.0.0-2] a frame is cut into fragments, and an empty one says nothing', async () => {
    const peer = await open((await startWebSocketBroker()).port)
    const connect = connectBytes()
    peer.send(Opcode.binary, connect.subarray(0, 3), false)
    peer.send(Opcode.continuation, connect.subarray(3, 9), false)
    peer.send(Opcode.continuation, bytes(connect.subarray(9), subscribe.subarray(0, 4)))
    peer.send(Opcode.binary, Buffer.alloc(0))
    peer.send(Opcode.binary, subscribe.subarray(4))
    const answers = bytes(accepted, suback)
    expect(await peer.bytes(answers.length)).toEqual(answers)
  })

  it.each([[['mqtt']], [['chat', 'mqtt']], [['mqtt', 'chat']], [['mqttv3.1', 'mqtt']]])(
    '[MQTT-6.0.0-4] of the subprotocols %j the server selects mqtt',
    async (protocols) => {
      const peer = await open((await startWebSocketBroker()).port, protocols)
      expect(peer.protocol).toBe('mqtt')
      peer.send(Opcode.binary, connectBytes())
      expect(await peer.bytes(accepted.length)).toEqual(accepted)
    },
  )
})
