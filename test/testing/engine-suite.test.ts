import { describe, expect, it } from 'vitest'
import { MemoryCluster } from '../../src/cluster/memory/memory-cluster'
import type { ClusterEngine, ClusterMember } from '../../src/ports/cluster'
import { engineSuite, SimulatedClock } from '../../src/testing/index'

/** What is wrong with an engine: members that take the place of the right ones. */
type Fault = (member: ClusterMember) => Partial<ClusterMember>

/** Runs the suite as a test runner would, and gives the names of the tests that failed. */
async function failures(fault: Fault): Promise<string[]> {
  const tests: { name: string; run: () => Promise<void> }[] = []
  const path: string[] = []
  const makePlace = () => {
    const clock = new SimulatedClock()
    const cluster = new MemoryCluster({ clock, logLength: 1000 })
    return {
      engine: () => withFault(cluster.engine(), fault),
      elapse: (ms: number) => clock.advance(ms),
      size: () => {
        const { logged: _, ...kept } = cluster.sizes
        return Object.values(kept).reduce((sum, count) => sum + count, 0)
      },
    }
  }
  engineSuite('Engine', makePlace, {
    describe: (name, define) => {
      path.push(name)
      define()
      path.pop()
    },
    it: (name, run) => tests.push({ name: [...path, name].join(' '), run }),
  })
  const failed: string[] = []
  for (const { name, run } of tests) await within(run()).catch(() => failed.push(name))
  return failed
}

/** A test that waits for ever has failed. */
function within(run: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error('it waits for ever')), 2000)
  })
  return Promise.race([run, late]).finally(() => clearTimeout(timer))
}

function withFault(engine: ClusterEngine, fault: Fault): ClusterEngine {
  return {
    join: async (node, events) => {
      const member = await engine.join(node, events)
      const faulty = fault(member)
      return new Proxy(member, {
        get(target, name) {
          const value: unknown = Reflect.get(Reflect.has(faulty, name) ? faulty : target, name)
          return typeof value === 'function' ? value.bind(target) : value
        },
      })
    },
  }
}

const faults: [string, Fault, RegExp][] = [
  [
    'knows no stale routes',
    (member) => ({ transact: (step) => member.transact({ ...step, routedAt: undefined }) }),
    /routes came that bind/,
  ],
  [
    'looks for stale routes only where there are frames',
    (member) => ({
      transact: (step) => member.transact(step.frames.length > 0 ? step : { ...step, routedAt: undefined }),
    }),
    /also without a frame/,
  ],
  [
    'takes no frame out',
    (member) => ({ transact: (step) => member.transact({ ...step, taken: [] }) }),
    /until they are taken/,
  ],
  [
    'has frames taken although the transaction is refused',
    (member) => ({
      transact: async (step) => {
        const answer = await member.transact(step)
        if (answer.type !== 'kept') await member.transact({ ...emptyStep, taken: step.taken })
        return answer
      },
    }),
    /do nothing of it when it is fenced/,
  ],
  [
    'keeps what it can when a target is gone',
    (member) => ({
      transact: async (step) => {
        const answer = await member.transact(step)
        if (answer.type === 'gone') {
          const frames = step.frames.filter(({ node }) => !answer.nodes.includes(node))
          await member.transact({ ...step, frames })
        }
        return answer
      },
    }),
    /a target has no lease/,
  ],
  [
    'has a lease for ever',
    (member) => ({ renew: async () => ({ ...(await member.renew()), isHeld: true }) }),
    /never again once it is over/,
  ],
  [
    'forgets to release',
    (member) => ({ transact: (step) => member.transact({ ...step, released: [] }) }),
    /once the holder has released them/,
  ],
  [
    'adopts nothing',
    (member) => ({ transact: (step) => member.transact({ ...step, adopted: [] }) }),
    /with their sessions/,
  ],
  [
    'lets a claim take a session from its holder',
    (member) => ({
      claim: async (clientId) => {
        const claim = await member.claim(clientId)
        return claim === 'lapsed' ? claim : { ...claim, heldBy: undefined }
      },
    }),
    /once the holder has released them/,
  ],
  [
    'passes no routes',
    (member) => ({ pass: (all) => member.pass(all.map(bare)) }),
    /routes in the table of the next home/,
  ],
  [
    'binds nothing',
    (member) => ({ changeRoutes: (changes) => member.changeRoutes(changes, false) }),
    /routes came that bind/,
  ],
  [
    'loses what is retained',
    (member) => ({
      transact: (step) => member.transact({ ...step, changes: step.changes.filter(({ type }) => type !== 'retain') }),
    }),
    /keeps retained messages/,
  ],
  ['loses frames', () => ({ send: () => undefined }), /sends frames/],
]

const emptyStep = {
  changes: [],
  epochs: new Map<string, number>(),
  routedAt: undefined,
  frames: [],
  taken: [],
  adopted: [],
  released: [],
}

const bare = <T extends object>(passing: T): T => ({ ...passing, changes: [] })

describe('engineSuite', () => {
  it('passes an engine that keeps its promises', async () => {
    expect(await failures(() => ({}))).toEqual([])
  })

  it.each(faults)(
    'fails an engine that %s',
    async (_name, fault, expected) => {
      expect((await failures(fault)).join('\n')).toMatch(expected)
    },
    60_000,
  )
})
