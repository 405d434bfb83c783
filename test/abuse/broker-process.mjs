// A broker in a process of its own, so that its memory can be measured: node --expose-gc broker-process.mjs MODULE OPTIONS
const { MqttBroker } = await import(process.argv[2])
const broker = await MqttBroker.start({ port: 0, ...JSON.parse(process.argv[3]) })
process.on('message', () => {
  global.gc()
  process.send({ ...process.memoryUsage(), statistics: broker.statistics })
})
process.on('disconnect', () => process.exit())
process.send({ port: broker.port })
