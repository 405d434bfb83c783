// A listener for TCP, and one for WebSockets. The argument: options of webSocket().
export default function websocket({ gnatmq, argument }) {
  const { tcp, webSocket } = gnatmq
  return { listeners: [tcp({ port: 0, host: '127.0.0.1' }), webSocket({ port: 0, host: '127.0.0.1', ...argument })] }
}
