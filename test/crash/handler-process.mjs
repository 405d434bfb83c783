// A broker with a durable subscription of its application, to be killed. argv: the folder of the package, that of the store, and `first`, where
// the handler settles for the messages before `2` only, or `second`. Says each message that the handler gets.

import { writeSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const [, , packageFolder, storeFolder, run] = process.argv
const load = (path) => import(pathToFileURL(join(packageFolder, 'dist', path)).href)
const [{ MqttBroker }, { lmdbStore }] = await Promise.all([load('index.js'), load('persistence/lmdb/index.js')])

const broker = new MqttBroker({ port: 0, store: lmdbStore(storeFolder, { durability: 'sync' }) })
process.on('disconnect', () => process.exit())
const options = { durable: 'books', qos: Number(process.argv[5]) }
await broker.subscribe('a', options, async ({ payload }) => {
  const text = payload.toString()
  writeSync(1, `${text}\n`)
  if (run === 'first' && Number(text) >= 2) await new Promise(() => undefined)
})
await broker.start()
if (run === 'first') {
  await broker.publish({ topic: 'a', payload: '0', qos: 2 })
  await broker.publish({ topic: 'a', payload: '1', qos: 2 })
}
if (run === 'first') for (const payload of ['2', '3', '4']) await broker.publish({ topic: 'a', payload, qos: 2 })
else await broker.publish({ topic: 'a', payload: 'last', qos: 2 })
writeSync(1, 'published\n')
