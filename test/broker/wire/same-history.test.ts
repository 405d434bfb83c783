import fc from 'fast-check'
import { generate, type Packet } from 'mqtt-packet'
import { describe, expect, it, vi } from 'vitest'
import { type ReachableBroker, startReachable, transports } from '../../support/transports'

/** The packets of a client follow from its steps alone, so that they are the same wherever they are sent. */
const steps = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant('publish' as const), qos: fc.constantFrom(0 as const, 1 as const, 2 as const) }),
    fc.record({ kind: fc.constantFrom('subscribe' as const, 'unsubscribe' as const, 'ping' as const) }),
  ),
  { minLength: 1, maxLength: 12 },
)

const scenario = fc.record({
  version: fc.constantFrom(4 as const, 5 as const),
  steps,
  /** Where the bytes are cut, in thousandths of their length. */
  cuts: fc.array(fc.integer({ min: 0, max: 1000 }), { maxLength: 6 }),
  /** Turns of the event loop that each hook takes; 0 answers at once. */
  delays: fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 5 }),
  polite: fc.boolean(),
  leave: fc.constantFrom('end' as const, 'vanish' as const),
})
type Scenario = typeof scenario extends fc.Arbitrary<infer S> ? S : never

function packetsOf({ version, steps, polite }: Scenario): Packet[] {
  const packets: Packet[] = [
    {
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: version,
      clientId: 'c',
      clean: true,
      keepalive: 0,
      will: { topic: 'will', payload: Buffer.from('the Will'), qos: 0, retain: false },
    },
  ]
  steps.forEach((step, i) => {
    const messageId = i + 1
    if (step.kind === 'publish') {
      const fixed = { cmd: 'publish', topic: 't', payload: `${i}`, retain: false, dup: false } as const
      packets.push({ ...fixed, qos: step.qos, ...(step.qos === 0 ? {} : { messageId }) })
      if (step.qos === 2) packets.push({ cmd: 'pubrel', messageId })
    } else if (step.kind === 'subscribe')
      packets.push({ cmd: 'subscribe', messageId, subscriptions: [{ topic: `own/${i}`, qos: 1 }] })
    else if (step.kind === 'unsubscribe') packets.push({ cmd: 'unsubscribe', messageId, unsubscriptions: ['own/0'] })
    else packets.push({ cmd: 'pingreq' })
  })
  if (polite) packets.push({ cmd: 'disconnect' })
  return packets
}

function piecesOf(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const at = [...cuts.map((cut) => Math.floor((cut * bytes.length) / 1000)), bytes.length].sort((a, b) => a - b)
  return at.map((end, i) => bytes.subarray(i === 0 ? 0 : at[i - 1], end)).filter(({ length }) => length > 0)
}

/** Brokers whose hooks take as many turns as the scenario says. */
class World {
  history: string[] = []
  private asked = 0
  private delays: readonly number[] = [0]

  readonly hooks = {
    authenticate: () => this.ask('authenticate'),
    authorizePublish: () => this.ask('authorizePublish'),
    authorizeSubscribe: () => this.ask('authorizeSubscribe'),
  }

  async watch({ broker }: ReachableBroker): Promise<void> {
    await broker.subscribe('#', ({ payload }) => void this.history.push(payload.toString()))
    broker.on('clientConnected', () => this.history.push('came'))
    broker.on('clientDisconnected', (_client, { byClient }) => this.history.push(byClient ? 'left' : 'was lost'))
    broker.on('subscribed', (_client, { filter }) => this.history.push(`subscribed ${filter}`))
    broker.on('unsubscribed', (_client, filter) => this.history.push(`unsubscribed ${filter}`))
  }

  begin(delays: readonly number[]): void {
    this.history = []
    this.asked = 0
    this.delays = delays
  }

  private ask(hook: string): boolean | Promise<boolean> {
    this.history.push(hook)
    const turns = this.delays[this.asked++ % this.delays.length]!
    return turns === 0 ? true : passed(turns)
  }
}

async function passed(turns: number): Promise<boolean> {
  for (let i = 0; i < turns; i++) await new Promise((resolve) => setImmediate(resolve))
  return true
}

/** The history without the transport: what happened, in order. */
async function play(world: World, { open }: ReachableBroker, played: Scenario): Promise<string[]> {
  const { version, cuts, delays, leave, polite } = played
  world.begin(delays)
  const client = await open()
  const bytes = Buffer.concat(packetsOf(played).map((packet) => generate(packet, { protocolVersion: version })))
  for (const piece of piecesOf(bytes, cuts)) {
    client.write(piece)
    await passed(1)
  }
  client.leave(leave)
  const last = polite ? ['left'] : ['was lost', 'the Will']
  await vi.waitFor(() => expect(world.history).toEqual(expect.arrayContaining(last)), { interval: 2, timeout: 5000 })
  return world.history
}

describe('a client that sends and leaves', () => {
  it('has the same history on every transport, wherever its bytes are cut and whatever its hooks take', async () => {
    const worlds: { world: World; reached: ReachableBroker }[] = []
    for (const transport of transports) {
      const world = new World()
      const reached = await startReachable(transport, world.hooks)
      await world.watch(reached)
      worlds.push({ world, reached })
    }
    await fc.assert(
      fc.asyncProperty(scenario, async (played) => {
        const histories = await Promise.all(worlds.map(({ world, reached }) => play(world, reached, played)))
        const published = played.steps.flatMap(({ kind }, i) => (kind === 'publish' ? [`${i}`] : []))
        expect(histories[0]!.filter((entry) => /^\d+$/.test(entry))).toEqual(published)
        for (const [i, history] of histories.entries()) expect(history, transports[i]).toEqual(histories[0])
      }),
      { numRuns: 25 },
    )
  }, 60_000)
})
