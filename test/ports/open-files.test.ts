import { execFileSync } from 'node:child_process'
import { expect, it } from 'vitest'
import { limitsOf } from '../../src/limits'
import { maximumOpenFiles } from '../../src/ports/open-files'

it.runIf(process.platform === 'linux')('knows how many files the process may have open, as the shell tells it', () => {
  const told = execFileSync('sh', ['-c', 'ulimit -n'], { encoding: 'utf8' }).trim()
  expect(maximumOpenFiles()).toBe(told === 'unlimited' ? undefined : Number(told))
})

it('half-open connections leave at least half of the open files to others', () => {
  const { maximumHalfOpenConnections, maximumHalfOpenConnectionsPerAddress } = limitsOf()
  expect(maximumHalfOpenConnections).toBeLessThanOrEqual((maximumOpenFiles() ?? Number.POSITIVE_INFINITY) / 2)
  expect(maximumHalfOpenConnectionsPerAddress).toBeLessThanOrEqual(maximumHalfOpenConnections)
  expect(limitsOf({ maximumHalfOpenConnections: 100_000 }).maximumHalfOpenConnections).toBe(100_000)
})
