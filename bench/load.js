import { answer } from './answers.js'
import { Churn, Flood, Storm } from './load/disturbance.js'
import { Idle } from './load/idle.js'
import { Loop } from './load/loop.js'
import { Queue } from './load/queue.js'

/**
 * The load generator, a process of its own. One job at a time: `open` connects (and lets a loop start), `run` does what
 * has an end, `snapshot` looks at the counters, `finish` ends the job and answers what was lost or came twice.
 */
const kinds = { loop: Loop, idle: Idle, queue: Queue, storm: Storm, churn: Churn, flood: Flood }

let job = null
let jobs = 0

const own = () => {
  const { user, system } = process.cpuUsage()
  return { at: performance.now(), cpuMicros: user + system }
}

answer({
  async open(description) {
    job?.close()
    job = new kinds[description.kind](description, `b${process.pid}-${jobs++}`)
    await job.open()
  },
  run: (argument) => job.run(argument),
  snapshot: (argument) => ({ ...own(), ...job.snapshot(argument) }),
  own,
  async finish() {
    const finished = job
    job = null
    return finished.finish()
  },
  close() {
    job?.close()
    job = null
  },
})
