// A broker in a process of its own, with a durable store, to be killed. argv: the folder of the package, the folder of
// the store, and as JSON { killAt?, fault? }. Says `listening PORT` when clients may come.

import { writeSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { dieAt, faults } from './store-faults.mjs'

const [, , packageFolder, storeFolder, options] = process.argv
const load = (path) => import(pathToFileURL(join(packageFolder, 'dist', path)).href)
const [{ MqttBroker }, { lmdbStore }] = await Promise.all([load('index.js'), load('persistence/lmdb/index.js')])
const { killAt, fault } = JSON.parse(options)

let store = lmdbStore(storeFolder, { durability: 'sync' })
if (fault !== undefined) store = faults[fault](store)
if (killAt !== undefined) store = dieAt(store, killAt)
const silence = () => undefined
const complain = ({ err }, text) => writeSync(2, `${text}: ${err?.stack}\n`)
const logger = { info: silence, warn: silence, error: complain }
const broker = await MqttBroker.start({ port: 0, store, logger })
process.on('disconnect', () => process.exit())
writeSync(1, `listening ${broker.port}\n`)
