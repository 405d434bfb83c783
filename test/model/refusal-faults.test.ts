import { afterEach, expect, it, vi } from 'vitest'
import { CommitJournal } from '../../src/broker/commits/commit-journal'
import { DequeueChange } from '../../src/broker/commits/session-changes'
import { Step } from '../../src/broker/commits/step'
import type { Delivery } from '../../src/session/delivery'
import { Move } from '../../src/session/move'
import type { Session } from '../../src/session/session'
import { undoDelivery } from '../../src/session/undo'
import { playRefusals } from './refusals'

/** The histories have to find each of these mistakes, within so many of them. */
const HISTORIES = 200

const cases: { fault: string; found: RegExp; plant: () => void }[] = [
  {
    fault: 'tries one half of a refused move again',
    found: /is lost/,
    plant() {
      vi.spyOn(Move.prototype, 'undo').mockImplementation(function (this: Move) {
        if (!this.isOver) undoDelivery(this.to, this.taken, 0)
        this.isOver = true
        this.taken.move = null
        return false
      })
      vi.spyOn(DequeueChange.prototype, 'undo').mockReturnValue(true)
    },
  },
  {
    fault: 'keeps what a publisher sent behind a refused message',
    found: /came after a later one|retains/,
    plant() {
      vi.spyOn(Step.prototype, 'isGivenUp', 'get').mockReturnValue(true)
    },
  },
  {
    fault: 'hands a message on before its commit is kept',
    found: /was refused and came|came \d times with QoS 2/,
    plant() {
      const { enqueue } = CommitJournal.prototype
      vi.spyOn(CommitJournal.prototype, 'enqueue').mockImplementation(function (
        this: CommitJournal,
        session: Session,
        delivery: Delivery,
        packetIdentifier: number,
      ) {
        enqueue.call(this, session, delivery, packetIdentifier)
        if (delivery.uncommitted) session.openShares--
        delivery.uncommitted = false
      })
    },
  },
  {
    fault: 'tries refused changes again with what others commit',
    found: /was refused for another client/,
    plant() {
      vi.spyOn(
        CommitJournal.prototype as unknown as { tryAgain: (changes: readonly unknown[]) => void },
        'tryAgain',
      ).mockImplementation(function (this: unknown, changes) {
        const collected = (this as { changes: unknown[] }).changes
        collected.push(...changes)
      })
    },
  },
  {
    fault: 'acknowledges what the store has refused',
    found: /is lost/,
    plant() {
      vi.spyOn(Step.prototype, 'refuse').mockImplementation(function (this: Step) {
        const { resolve } = this as unknown as { resolve: () => void }
        resolve()
      })
    },
  },
]

afterEach(() => void vi.restoreAllMocks())

it.each(cases)(
  `random histories find a broker that $fault`,
  async ({ found, plant }) => {
    plant()
    const faults: string[] = []
    let seed = 0
    while (!faults.some((fault) => found.test(fault)) && seed < HISTORIES) faults.push(...(await playRefusals(++seed)))
    if (process.env['SHOW'] !== undefined) process.stdout.write(`${seed} histories\n`)
    expect(faults.join('\n')).toMatch(found)
  },
  60_000,
)
