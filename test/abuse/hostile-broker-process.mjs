// A broker in a process of its own that watches itself. argv: the folder of the package, and as JSON
// { options, scenarios: [[name, argument], …] }.
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { getHeapStatistics } from 'node:v8'
import { LoopWatch } from './loop-watch.mjs'
import { answerQuestions } from './questions.mjs'

const [, , folder, text] = process.argv
const { options, scenarios } = JSON.parse(text)
const load = (path) => import(pathToFileURL(join(folder, 'dist', path)).href)
const gnatmq = await load('index.js')
const given = { ...options }
for (const [name, argument] of scenarios) {
  const { default: scenario } = await import(`./scenarios/${name}.mjs`)
  Object.assign(given, await scenario({ gnatmq, load, argument: argument ?? undefined }))
}

const events = {}
const note = (name) => {
  events[name] = (events[name] ?? 0) + 1
}
const broker = await gnatmq.MqttBroker.start({ port: 0, ...given })
broker.on('clientConnected', () => note('clientConnected'))
broker.on('clientDisconnected', () => note('clientDisconnected'))
broker.on('clientError', (error) => note(error.code))
broker.on('storeError', (error) => note(error.code))

const watch = new LoopWatch()
let peakRss = 0
const sample = () => {
  try {
    peakRss = Math.max(peakRss, process.memoryUsage.rss())
  } catch (error) {
    // it reads a file: the attack has taken all descriptors of the process
    note(`no memory figure: ${error.code ?? error.message}`)
  }
}
setInterval(sample, 100)

/** Descriptors that are open; 0 where the system does not tell. */
function openFiles() {
  try {
    return readdirSync('/proc/self/fd').length
  } catch {
    return 0
  }
}

answerQuestions({
  ports: () => broker.addresses.map(({ port }) => port),
  reset: () => {
    peakRss = 0
    watch.reset()
  },
  measure: ({ collect }) => {
    sample()
    const loop = watch.read()
    if (collect) {
      globalThis.gc()
      watch.reset()
    }
    const { rss, heapUsed, external, arrayBuffers } = process.memoryUsage()
    return {
      ...loop,
      rssBytes: rss,
      peakRssBytes: Math.max(peakRss, rss),
      heapBytes: heapUsed,
      externalBytes: external,
      arrayBufferBytes: arrayBuffers,
      openFiles: openFiles(),
      heapLimitBytes: getHeapStatistics().heap_size_limit,
      statistics: broker.statistics,
      events,
    }
  },
})
