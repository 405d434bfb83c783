// A broker in a process of its own, so that its memory is nobody else's. Run with --expose-gc and an IPC channel:
// argv[2] is the module of the package; each message is answered with what has happened so far.

const { MqttBroker } = await import(process.argv[2])
const events = { connected: 0, disconnected: 0, repeated: 0 }
const broker = await MqttBroker.start({ port: 0 })

// counted at the client itself: a table of thousands of names would be memory of the test's own
broker.on('clientConnected', (client) => {
  events.connected++
  if (client.data !== undefined) events.repeated++
  client.data = 'connected'
})
broker.on('clientDisconnected', (client) => {
  events.disconnected++
  if (client.data !== 'connected') events.repeated++
  client.data = 'disconnected'
})

process.on('message', () => {
  globalThis.gc()
  const { connections, clients, sessions } = broker.statistics
  const { rss, heapUsed } = process.memoryUsage()
  process.send({ port: broker.port, rssBytes: rss, heapBytes: heapUsed, connections, clients, sessions, ...events })
})
process.on('disconnect', () => broker.stop())
process.send('ready')
