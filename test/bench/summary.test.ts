import { describe, expect, it } from 'vitest'
import { summarise } from '../../bench/summary'

const turn = (cpu: number, rate: number) => ({ figures: { cpu, rate }, missing: 0, extra: 0 })

describe('the summary of a run', () => {
  it('has medians, spreads and how many times gnatmq is ahead', () => {
    const turns = {
      gnatmq: [turn(1, 100), turn(3, 300), turn(2, 200)],
      aedes: [turn(10, 10), turn(24, 20), turn(20, 30)],
    }
    const [cpu, rate] = summarise([{ id: 'a1', title: '', kind: 'loop', turns }])
    expect(cpu!.cells['gnatmq']).toEqual({ median: 2, spread: 0.5, rounds: 3 })
    expect(cpu!.ratios['aedes']).toEqual({ median: 10, least: 8, greatest: 10 })
    expect(rate!.ratios['aedes']).toEqual({ median: 10, least: 200 / 30, greatest: 15 })
    expect(cpu!.marks).toEqual([])
  })

  it('names losses, repetitions, failures and a load that was the limit', () => {
    const turns = {
      gnatmq: [
        { ...turn(1, 1), missing: 2 },
        { ...turn(1, 1), missing: 1, extra: 4, limitedByLoad: true },
      ],
      aedes: [{ error: 'it fell over' }],
    }
    const [cpu] = summarise([{ id: 'a1', title: '', kind: 'loop', turns }])
    expect(cpu!.marks).toEqual([
      'gnatmq: 3 messages lost',
      'gnatmq: 4 messages too many',
      'gnatmq: the load was the limit',
      'aedes: it fell over',
    ])
    expect(cpu!.ratios['aedes']!.median).toBeNaN()
  })
})
