// Sends spoilt packets to a broker in a process of its own, on every transport, with an honest pair beside.
//   npm run fuzz -- [--seconds 60] [--connections N] [--seed N] [--package FOLDER] [--corpus FOLDER] [--keep] [--replay]
// --keep adds to the corpus what made the broker refuse something in a new way; --replay only sends the corpus. Exit code 1:
// something has broken.
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { Child } from '../abuse/questions.mjs'
import { addToCorpus, corpusFolder, readCorpus } from './corpus.mjs'
import { mutate, mutateBytes } from './mutation.mjs'
import { encodePacket } from './packet-shape.mjs'
import { anyPacket, connect } from './packet-source.mjs'
import { Random } from './random.mjs'
import { open, transports } from './transports.mjs'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    connections: { type: 'string', default: 'Infinity' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
    package: { type: 'string', default: fileURLToPath(new URL('../..', import.meta.url)) },
    corpus: { type: 'string', default: corpusFolder },
    keep: { type: 'boolean', default: false },
    replay: { type: 'boolean', default: false },
  },
})
const seconds = Number(values.seconds)
const maximumConnections = Number(values.connections)
const seed = Number(values.seed)
/** Connections at a time: some on each transport. */
const WORKERS = 12
/** Packets of a connection that are tried when a conversation is made short. */
const LONGEST_SEARCH = 60

const broker = await Child.start('../fuzz/broker-process.mjs', {
  args: [values.package],
  nodeArgs: ['--expose-gc', '--max-old-space-size=1024'],
})
const places = await broker.ask('places')
const argument = JSON.stringify({ port: places.ports.tcp, perSecond: 100, window: 100, payloadBytes: 16, connect: {} })
const pair = await Child.start('./honest-pair-process.mjs', { args: [argument] })
const corpus = readCorpus(values.corpus)
const known = new Set(corpus.map(({ kind }) => kind))
const found = []
let connections = 0
let packets = 0
/** What was sent from the last local ports. */
const conversations = new Map()
console.log(`seed ${seed}, ${corpus.length} conversations in the corpus`)

/** The packets of one connection: CONNECT, mostly sound, and others, some of them spoilt. */
function conversation(r) {
  if (corpus.length > 0 && r.chance(0.15)) {
    const base = r.pick(corpus).packets
    return base.flatMap((bytes) => (r.chance(0.3) ? [mutateBytes(r, bytes)] : [bytes]))
  }
  const version = r.pick([3, 4, 5, 5, 5])
  const unsound = r.pick([0, 0.01, 0.05, 0.3])
  const spoil = (packet) => encodePacket(r.chance(unsound) ? mutate(r, packet) : packet)
  const list = [spoil(connect(r, version))]
  for (let n = r.below(r.pick([5, 50, 300])); n > 0; n--) list.push(spoil(anyPacket(r, version)))
  return list
}

/** Writes the packets in pieces: each alone, several in one, or cut anywhere. Resolves when the connection has closed. */
async function converse(r, transport, list) {
  const connection = await open(transport, places)
  const { socket } = connection
  if (socket.destroyed) return
  const port = socket.localPort
  conversations.delete(port)
  conversations.set(port, list)
  if (conversations.size > 2000) conversations.delete(conversations.keys().next().value)
  connections++
  packets += list.length
  const closed = new Promise((resolve) => socket.once('close', resolve))
  const reads = r.chance(0.9)
  if (reads) socket.resume()
  for (const piece of pieces(r, list)) {
    if (socket.destroyed || !socket.writable) break
    if (connection.frame !== undefined && r.chance(0.02)) socket.write(spoiltFrame(r, connection.frame, piece))
    else connection.write(piece)
    if (r.chance(0.2)) await new Promise(setImmediate)
    if (r.chance(0.0005)) break
  }
  const way = r.pick(['end', 'reset', 'destroy'])
  // a side that does not read never sees the end of the other
  if (way === 'end' && reads) socket.end()
  else if (way === 'reset' && transport !== 'tls' && transport !== 'wss') socket.resetAndDestroy()
  else socket.destroy()
  setTimeout(() => socket.destroy(), 2000).unref()
  await closed
}

function* pieces(r, list) {
  const way = r.below(4)
  if (way === 0) yield* list
  else if (way === 1) yield Buffer.concat(list)
  else {
    const bytes = Buffer.concat(list)
    const most = Math.max(bytes.length >> 8, r.pick([1, 10, 500, 70_000]))
    for (let at = 0; at < bytes.length; ) {
      const end = Math.min(bytes.length, at + 1 + r.below(most * 2))
      yield bytes.subarray(at, end)
      at = end
    }
  }
}

function spoiltFrame(r, frame, piece) {
  const opcode = r.pick([0, 1, 2, 3, 8, 9, 10, 15])
  return frame(opcode, piece, {
    final: r.chance(0.7),
    reserved: r.pick([0, 0, 1, 4, 7]),
    masked: r.chance(0.8),
    lie: r.pick([0, 0, 1, 1000, 1 << 24]),
  })
}

async function attacker(number, end) {
  const r = new Random(seed + number)
  while (Date.now() < end && connections < maximumConnections && broker.ended === null)
    await converse(r, transports[number % transports.length], conversation(r))
}

/** The kind of refusal that a conversation over TCP brings about; undefined if none. */
async function refusalOf(list) {
  const { socket } = await open('tcp', places)
  const port = socket.localPort
  const closed = new Promise((resolve) => socket.once('close', resolve))
  await broker.ask('forget', port)
  socket.resume()
  socket.end(Buffer.concat(list))
  setTimeout(() => socket.destroy(), 500).unref()
  await closed
  return new Map(await broker.ask('refusals')).get(port)
}

/** New kinds of refusal, each with the shortest conversation that still brings it about. */
async function collect() {
  for (const [port, kind] of await broker.ask('refusals')) {
    const list = conversations.get(port)
    if (known.has(kind) || list === undefined) continue
    known.add(kind)
    let short
    for (const [i, bytes] of list.slice(0, LONGEST_SEARCH).entries()) {
      const shorter = i === 0 ? [bytes] : [list[0], bytes]
      if ((await refusalOf(shorter)) !== kind) continue
      short = shorter
      break
    }
    if (short === undefined || Buffer.concat(short).length > 2000) continue
    found.push({ kind, packets: short })
    corpus.push({ kind, packets: short })
  }
}

/** Adds to the corpus what still brings about the same, now that no session of another attacker is left. */
async function keepReproducible() {
  const names = []
  for (const { kind, packets: list } of found)
    if ((await refusalOf(list)) === kind) names.push(addToCorpus(values.corpus, kind, list))
  return names
}

/** Everybody but the pair has gone, and nothing of them is left. */
async function settled() {
  let state
  for (let n = 0; n < 200; n++) {
    state = await broker.ask('state', { collect: true })
    const { connections: open, sessions, queuedMessages, subscriptions } = state.statistics
    if (open === 2 && sessions === 2 && queuedMessages <= 1 && subscriptions === 1) return state
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error(`the broker keeps something of clients that have gone: ${JSON.stringify(state.statistics)}`)
}

async function run(ms) {
  const end = Date.now() + ms
  const attackers = Array.from({ length: WORKERS }, (_, n) => attacker(n, end))
  const collector = (async () => {
    while (Date.now() < end && broker.ended === null) {
      await new Promise((resolve) => setTimeout(resolve, Math.min(1000, ms / 4)))
      await collect()
    }
  })()
  const progress = setInterval(
    () => console.log(`${packets} packets on ${connections} connections, ${found.length} new kinds`),
    60_000,
  )
  await Promise.all([...attackers, collector])
  clearInterval(progress)
}

/** Sends each conversation of the corpus; prints those that bring about another error than they once did. */
async function replay() {
  for (const { name, kind, packets: list } of corpus) {
    const code = (await refusalOf(list))?.split(':')[0]
    if (code === kind.split(':')[0]) continue
    console.log(`${name}: ${code} instead of ${kind}`)
    process.exitCode = 1
  }
  const { faults } = await broker.ask('state', { collect: false })
  if (faults.length > 0) throw new Error(faults.join('\n'))
}

async function fuzz() {
  await broker.ask('reset')
  await run((seconds * 1000) / 2)
  const before = await settled()
  await run((seconds * 1000) / 2)
  await collect()
  const busy = await broker.ask('state', { collect: false })
  const after = await settled()
  const kept = values.keep ? await keepReproducible() : []
  const report = await pair.ask('finish', { seconds: 10 })
  const result = {
    seed,
    packets,
    connections,
    refusalKinds: after.kinds,
    newKinds: found.map(({ kind }) => kind),
    kept,
    faults: after.faults,
    heapGrowthBytes: after.heapBytes - before.heapBytes,
    rssBytes: after.rssBytes,
    ownGapMs: Math.round(busy.ownGapMs),
    pair: {
      sent: report.sent,
      lost: report.lost,
      longestMs: Math.round(report.longestMs),
      ownDelayMs: Math.round(report.ownDelayMs),
      failure: report.failure,
    },
  }
  console.log(JSON.stringify(result, null, 2))
  const isSound =
    result.faults.length === 0 &&
    report.lost === 0 &&
    report.failure === undefined &&
    result.heapGrowthBytes < 40 * 1024 * 1024
  if (!isSound) process.exitCode = 1
}

try {
  await (values.replay ? replay() : fuzz())
} catch (error) {
  console.error(error)
  process.exitCode = 1
} finally {
  await pair.stop()
  await broker.stop()
}
