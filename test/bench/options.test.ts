import { describe, expect, it } from 'vitest'
import { parseOptions } from '../../bench/options'
import { scenarios } from '../../bench/scenarios'

describe('the options of the benchmark', () => {
  it('are everything, five rounds and one second without arguments', () => {
    const options = parseOptions([])
    expect(options).toMatchObject({ quick: false, verify: false, rounds: 5, seconds: 1 })
    expect(options.peers).toBeUndefined()
    expect(options.scenarios).toEqual(scenarios.map(({ id }) => id))
  })

  it('are a few short scenarios with --quick, unless others are asked for', () => {
    const options = parseOptions(['--quick'])
    expect(options).toMatchObject({ quick: true, rounds: 2, seconds: 0.5 })
    expect(options.scenarios).toContain('a1')
    expect(options.scenarios.length).toBeLessThan(scenarios.length / 2)
    expect(parseOptions(['--quick', '--only', 'g', '--rounds', '7'])).toMatchObject({ scenarios: ['g'], rounds: 7 })
  })

  it('choose scenarios and brokers by name', () => {
    const options = parseOptions(['--only', 'b0,a1', '--peers', 'gnatmq,aedes', '--rounds', '3', '--seconds', '0.25'])
    expect(options).toMatchObject({ scenarios: ['a1', 'b0'], peers: ['gnatmq', 'aedes'], rounds: 3, seconds: 0.25 })
  })

  it.each([
    [['--only', 'a1,z9'], /--only: there is no "z9"/],
    [['--peers', 'nobody'], /--peers: there is no "nobody"/],
    [['--rounds', '0'], /--rounds takes a number of at least 1, not "0"/],
    [['--rounds', '1.5'], /--rounds/],
    [['--seconds', 'long'], /--seconds/],
    [['--fast'], /--fast/],
    [['a1'], /a1/],
  ])('refuse %j', (args, message) => {
    expect(() => parseOptions(args)).toThrow(message)
  })

  it('know every scenario by one name only', () => {
    expect(new Set(scenarios.map(({ id }) => id)).size).toBe(scenarios.length)
  })
})
