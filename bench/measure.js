import { setTimeout as sleep } from 'node:timers/promises'
import { quantile } from './statistics.js'

/**
 * One turn of one broker in one scenario. `stage` has the peer, the load and a second load for disturbances; the answer
 * has the figures, what was lost or came twice, and how busy the broker and the load were (1 is a whole core).
 */
export function measure(scenario, stage) {
  return kinds[scenario.kind](scenario, stage)
}

const kinds = {
  loop: measureLoop,
  paced: measurePaced,
  idle: measureIdle,
  queue: measureQueue,
  filters: measureFilters,
  share: measureShare,
  pressed: measureShare,
}

const jobOf = (scenario, { peer, tls, verify }) => ({
  ...scenario.job,
  port: peer.port,
  tls: scenario.tls ? { ca: tls.ca } : undefined,
  raw: peer.name === 'relay',
  verify: verify && peer.name !== 'relay',
})

/** The broker first, since it may be busy: its answer and the load's counters then belong together. */
async function mark({ peer, load }, argument) {
  const usage = await peer.usage()
  return { ...(await load.ask('snapshot', argument)), usage }
}

function between(before, after) {
  const elapsedMicros = (after.at - before.at) * 1000
  const brokerMicros = after.usage.cpuMicros - before.usage.cpuMicros
  return {
    brokerMicros,
    elapsedMicros,
    brokerBusy: brokerMicros / elapsedMicros,
    loadBusy: (after.cpuMicros - before.cpuMicros) / elapsedMicros,
  }
}

async function measureLoop(scenario, stage) {
  const { load, warmUp, seconds } = stage
  await load.ask('open', jobOf(scenario, stage))
  await sleep(warmUp * 1000)
  const before = await mark(stage)
  await sleep(seconds * 1000)
  const after = await mark(stage)
  const { missing, extra } = await load.ask('finish')
  const { brokerMicros, elapsedMicros, brokerBusy, loadBusy } = between(before, after)
  const delivered = after.delivered - before.delivered
  return {
    figures: { cpu: brokerMicros / delivered, rate: delivered / (elapsedMicros / 1e6) },
    missing,
    extra,
    brokerBusy,
    loadBusy,
    limitedByLoad: loadBusy > 0.9 && !(brokerBusy > 0.9),
  }
}

async function measurePaced(scenario, stage) {
  const { load, warmUp, seconds } = stage
  await load.ask('open', jobOf(scenario, stage))
  await sleep(warmUp * 1000)
  const before = await mark(stage, { latencies: true })
  await sleep(seconds * 1000)
  const after = await mark(stage)
  const { missing, extra } = await load.ask('finish')
  const { brokerMicros, elapsedMicros, brokerBusy, loadBusy } = between(before, after)
  const sorted = after.latencies.sort((a, b) => a - b)
  const delivered = after.delivered - before.delivered
  return {
    figures: {
      cpu: brokerMicros / delivered,
      median: quantile(sorted, 0.5) * 1000,
      p99: quantile(sorted, 0.99) * 1000,
    },
    missing,
    extra,
    brokerBusy,
    loadBusy,
    // the load polls, so that it is always busy: it was the limit only if it fell behind
    limitedByLoad: delivered / (elapsedMicros / 1e6) < scenario.job.rate * 0.95 && !(brokerBusy > 0.9),
  }
}

async function measureIdle(scenario, stage) {
  const { peer, load } = stage
  const job = jobOf(scenario, stage)
  const before = { ...(await load.ask('own')), usage: await peer.usage() }
  await load.ask('open', job)
  const connected = await mark(stage)
  await sleep(1000)
  const { usage: idle } = await mark(stage)
  const { missing, extra } = await load.ask('finish')
  const { brokerMicros, brokerBusy, loadBusy } = between(before, connected)
  return {
    figures: {
      bytes: (idle.rssBytes - before.usage.rssBytes) / job.connections,
      connect: brokerMicros / job.connections,
    },
    missing,
    extra,
    brokerBusy,
    loadBusy,
    limitedByLoad: false,
  }
}

async function measureQueue(scenario, stage) {
  const { peer, load } = stage
  const job = jobOf(scenario, stage)
  await load.ask('open', job)
  const empty = await peer.usage()
  await load.ask('run', { step: 'store' })
  const full = await peer.usage()
  const stored = await mark(stage)
  await load.ask('run', { step: 'drain' })
  const drained = await mark(stage)
  const { missing, extra } = await load.ask('finish')
  const { brokerMicros, brokerBusy, loadBusy } = between(stored, drained)
  return {
    figures: {
      store: (full.cpuMicros - empty.cpuMicros) / job.messages,
      drain: brokerMicros / job.messages,
      bytes: (full.rssBytes - empty.rssBytes) / job.messages,
    },
    missing,
    extra,
    brokerBusy,
    loadBusy,
    limitedByLoad: false,
  }
}

/** Of one step of a disturbance or of a scenario with many filters. What takes longer is an error. */
const stepSeconds = 120

/** A job's own steps, of which a slow broker may make long ones. `what` names the step when it takes too long. */
const stepOf = (load, method, argument, what) => load.ask(method, argument, { what, seconds: stepSeconds })

/** How often the broker is asked whether it is idle, until when, and what share of a core an idle broker may take. */
const idlePollMs = 200
const idleLimitMs = 10_000
const idleBusy = 0.1

/** What the broker has used once it is idle. */
async function idleUsage(peer) {
  const end = performance.now() + idleLimitMs
  let last = await peer.usage()
  for (;;) {
    await sleep(idlePollMs)
    const usage = await peer.usage()
    if (!(usage.cpuMicros - last.cpuMicros > idlePollMs * 1000 * idleBusy) || performance.now() > end) return usage
    last = usage
  }
}

/** Memory is what the first time takes of it. CPU time is that of the second: the code has run by then. */
async function measureFilters(scenario, stage) {
  const { peer, load } = stage
  const job = jobOf(scenario, stage)
  const count = job.filters.toLocaleString('en-US')
  const step = async (name, what) => {
    const from = await idleUsage(peer)
    await stepOf(load, 'run', { step: name }, what)
    const to = await idleUsage(peer)
    return {
      micros: (to.cpuMicros - from.cpuMicros) / job.filters,
      bytes: (to.rssBytes - from.rssBytes) / job.filters,
    }
  }
  const subscribe = () => step('subscribe', `SUBSCRIBE of ${count} filters`)
  const unsubscribe = () => step('unsubscribe', `UNSUBSCRIBE of ${count} filters`)
  await stepOf(load, 'open', job, 'opening')
  const first = await subscribe()
  await unsubscribe()
  const subscribed = await subscribe()
  await stepOf(load, 'run', { step: 'encode' }, 'encoding')
  const before = await mark(stage)
  const { delivered } = await stepOf(load, 'run', { step: 'publish' }, `PUBLISH beside ${count} filters`)
  const after = await mark(stage)
  const unsubscribed = await unsubscribe()
  const { missing, extra } = await load.ask('finish')
  const { brokerMicros, brokerBusy, loadBusy } = between(before, after)
  return {
    figures: {
      publish: brokerMicros / delivered,
      subscribe: subscribed.micros,
      unsubscribe: unsubscribed.micros,
      bytes: first.bytes,
    },
    missing,
    extra,
    brokerBusy,
    loadBusy,
    limitedByLoad: false,
  }
}

/**
 * A broker that still forgets the clients of a disturbance takes more CPU time for a message than before it. How much
 * more is allowed, how often that is looked at, at least and at most how long.
 */
const recovery = { tolerance: 1.25, pollMs: 300, limitMs: 10_000 }

/** Rate of delivery, and what a delivered message takes of the broker's CPU time, between two marks. */
function trafficBetween(from, to) {
  const delivered = to.delivered - from.delivered
  return {
    rate: delivered / (to.at - from.at),
    micros: (to.usage.cpuMicros - from.usage.cpuMicros) / delivered,
  }
}

async function undisturbed(stage, milliseconds = stage.seconds * 1000) {
  const before = await mark(stage)
  await sleep(milliseconds)
  return trafficBetween(before, await mark(stage))
}

async function recovered(stage, { micros }) {
  const end = performance.now() + recovery.limitMs
  let traffic
  do traffic = await undisturbed(stage, recovery.pollMs)
  while (traffic.micros > micros * recovery.tolerance && performance.now() < end)
}

async function measureShare(scenario, stage) {
  const { load, disturber, warmUp, seconds } = stage
  const { port, tls } = jobOf(scenario, stage)
  const { kind } = scenario.disturbance
  await disturber.ask('open', { ...scenario.disturbance, port, tls })
  await load.ask('open', jobOf(scenario, stage))
  await sleep(warmUp * 1000)
  const first = await undisturbed(stage)
  await stepOf(disturber, 'prepare', { seconds }, `preparing ${kind}`)
  const own = await disturber.ask('own')
  const disturbed = await mark(stage)
  const { pace } = await stepOf(disturber, 'run', { seconds }, kind)
  const after = await mark(stage)
  const ownAfter = await disturber.ask('own')
  await stepOf(disturber, 'leave', undefined, `leaving of ${kind}`)
  await disturber.ask('finish')
  await recovered(stage, first)
  const second = await undisturbed(stage)
  const { missing, extra } = await load.ask('finish')
  const mean = (key) => (first[key] + second[key]) / 2
  const { rate, micros } = trafficBetween(disturbed, after)
  const { brokerBusy, loadBusy } = between(disturbed, after)
  const disturberBusy = (ownAfter.cpuMicros - own.cpuMicros) / (ownAfter.at - own.at) / 1000
  return {
    figures: { share: (rate / mean('rate')) * 100, time: (mean('micros') / micros) * 100, pace },
    missing,
    extra,
    brokerBusy,
    loadBusy: loadBusy + disturberBusy,
    limitedByLoad: loadBusy + disturberBusy > 0.9 && !(brokerBusy > 0.9),
  }
}
