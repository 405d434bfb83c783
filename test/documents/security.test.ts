import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { project } from '../support/build'
import { textOf } from '../support/markdown-file'
import { rowsUnder } from '../support/markdown-table'

describe('the table of attacks in SECURITY.md', () => {
  const rows = rowsUnder(textOf('SECURITY.md'), 'Known kinds of attack')

  it.each(rows)('has a test for: %s', (_attack, answer, test) => {
    expect(answer).not.toBe('')
    const [, file, title] = /^`(test\/\S+\.test\.ts)`: (.+)$/.exec(test!) ?? []
    expect(existsSync(join(project, file!)), `${file} is there`).toBe(true)
    expect(readFileSync(join(project, file!), 'utf8')).toContain(title)
  })

  it('is long enough to be of use', () => {
    expect(rows.length).toBeGreaterThan(20)
  })
})
