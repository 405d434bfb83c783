import { setTimeout as sleep } from 'node:timers/promises'
import { quantile } from './statistics.js'

/**
 * One turn of one broker in one scenario. `stage` has the peer, the load and a second load for disturbances; the answer
 * has the figures, what was lost or came twice, and how busy the broker and the load were (1 is a whole core).
 */
export function measure(scenario, stage) {
  return kinds[scenario.kind](scenario, stage)
}

const kinds = { loop: measureLoop, paced: measurePaced, idle: measureIdle, queue: measureQueue, share: measureShare }

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

/** A flood must have filled what the kernel buffers before it shows. */
const floodMs = 1000

/** What a broker may need to forget the clients of the disturbance. */
const settleMs = 300

/** Rate of delivery, and what a delivered message takes of the broker's CPU time, between two marks. */
function trafficBetween(from, to) {
  const delivered = to.delivered - from.delivered
  return {
    rate: delivered / (to.at - from.at),
    micros: (to.usage.cpuMicros - from.usage.cpuMicros) / delivered,
  }
}

async function undisturbed(stage) {
  const before = await mark(stage)
  await sleep(stage.seconds * 1000)
  return trafficBetween(before, await mark(stage))
}

async function measureShare(scenario, stage) {
  const { load, disturber, warmUp, seconds } = stage
  const { port, tls } = jobOf(scenario, stage)
  const disturbance = { ...scenario.disturbance, port, tls }
  if (disturbance.kind === 'storm')
    disturbance.connections = Math.min(disturbance.connections, disturbance.rate * seconds * 5)
  await disturber.ask('open', disturbance)
  await load.ask('open', jobOf(scenario, stage))
  await sleep(warmUp * 1000)
  const first = await undisturbed(stage)
  const flooding = disturbance.kind === 'flood' ? floodMs / 1000 : 0
  const running = disturber.ask('run', { seconds: seconds + flooding })
  running.catch(() => {})
  await sleep(flooding * 1000)
  const own = await disturber.ask('own')
  const disturbed = await mark(stage)
  await running
  const after = await mark(stage)
  const ownAfter = await disturber.ask('own')
  await disturber.ask('finish')
  await sleep(settleMs)
  const second = await undisturbed(stage)
  const { missing, extra } = await load.ask('finish')
  const { rate, micros } = trafficBetween(disturbed, after)
  const { brokerBusy, loadBusy } = between(disturbed, after)
  const disturberBusy = (ownAfter.cpuMicros - own.cpuMicros) / (ownAfter.at - own.at) / 1000
  return {
    figures: {
      share: (rate / ((first.rate + second.rate) / 2)) * 100,
      time: ((first.micros + second.micros) / 2 / micros) * 100,
    },
    missing,
    extra,
    brokerBusy,
    loadBusy: loadBusy + disturberBusy,
    limitedByLoad: loadBusy + disturberBusy > 0.9 && !(brokerBusy > 0.9),
  }
}
