// A WebSocket listener, and an Authentication Method `endless` that always wants more.
export default function endlessAuth({ gnatmq }) {
  const step = () => ({ continue: new Uint8Array(1) })
  return {
    listeners: [gnatmq.webSocket({ port: 0, host: '127.0.0.1' })],
    authenticationMethods: { endless: () => ({ step }) },
  }
}
