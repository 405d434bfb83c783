import { mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** One temporary folder for a run of the tests and all processes that they start. It is removed with everything in it. */
export default function setup(): () => void {
  const folder = mkdtempSync(join(realpathSync(tmpdir()), 'gnatmq-tests-'))
  // the names that Node reads, on Windows the last two
  const names = ['TMPDIR', 'TEMP', 'TMP']
  const former = names.map((name) => process.env[name])
  for (const name of names) process.env[name] = folder
  return () => {
    names.forEach((name, i) => {
      if (former[i] === undefined) delete process.env[name]
      else process.env[name] = former[i]
    })
    rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
  }
}
