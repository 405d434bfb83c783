import { answer } from './answers.js'
import { Churn, Flood, Million, Misses, Storm } from './load/disturbance.js'
import { Filters } from './load/filters.js'
import { Idle } from './load/idle.js'
import { Loop } from './load/loop.js'
import { Queue } from './load/queue.js'

/**
 * The load generator, a process of its own. One job at a time: `open` connects (and lets a loop start), `prepare` does what
 * must be done before the clock starts, `run` does what has an end, `leave` undoes
 * what a disturbance made, `snapshot` looks at the counters, `finish` ends the job and answers what was lost or came twice.
 */
const kinds = {
  loop: Loop,
  idle: Idle,
  queue: Queue,
  filters: Filters,
  storm: Storm,
  churn: Churn,
  flood: Flood,
  misses: Misses,
  million: Million,
}

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
  prepare: (argument) => job.prepare(argument),
  run: (argument) => job.run(argument),
  leave: () => job.leave(),
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
