import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'

/** Says what becomes of the message with this number, from 0: the packets that the subscribers get. */
export type Forgery = (packet: Buffer, number: number) => Buffer[]

/** A broker that knows one topic and QoS 0, and does with messages what a broker must not do. Answers its port. */
export async function startForger(forge: Forgery, onClose: (close: () => void) => void): Promise<number> {
  const subscribers = new Set<Socket>()
  const sockets = new Set<Socket>()
  let number = 0
  const receive = (socket: Socket, packet: Buffer) => {
    switch (packet[0]! >> 4) {
      case 1:
        return socket.write(Buffer.from([0x20, 2, 0, 0]))
      case 8:
        subscribers.add(socket)
        return socket.write(Buffer.from([0x90, 3, packet[2]!, packet[3]!, 0]))
      case 10:
        return socket.write(Buffer.from([0xb0, 2, packet[2]!, packet[3]!]))
      case 3:
        for (const forged of forge(packet, number++)) for (const subscriber of subscribers) subscriber.write(forged)
    }
  }
  const server = createServer((socket) => {
    let rest = Buffer.alloc(0)
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => subscribers.delete(socket))
    socket.on('data', (bytes) => {
      rest = Buffer.concat([rest, bytes])
      // what the load sends here is always shorter than 128 bytes
      while (rest.length >= 2 && rest.length >= 2 + rest[1]!) {
        receive(socket, rest.subarray(0, 2 + rest[1]!))
        rest = rest.subarray(2 + rest[1]!)
      }
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onClose(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return (server.address() as AddressInfo).port
}
