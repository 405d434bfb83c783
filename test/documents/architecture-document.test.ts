import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { project } from '../support/build'
import { textOf } from '../support/markdown-file'
import { rowsUnder } from '../support/markdown-table'

const wordsIn = (cell: string): string[] => [...cell.matchAll(/`([^`]+)`/g)].map(([, word]) => word!)

describe('ARCHITECTURE.md', () => {
  const architecture = textOf('ARCHITECTURE.md')

  it('names files and rooms that there are', () => {
    const paths = [...architecture.matchAll(/`((?:src|test)(?:\/[\w.-]+)*)`/g)].map(([, named]) => named!)
    expect(paths.length).toBeGreaterThan(30)
    expect(paths.filter((named) => !existsSync(join(project, named)))).toEqual([])
  })

  const ways = ['PUBLISH', 'CONNECT', 'SUBSCRIBE', 'takeover', 'Will']

  it.each(ways.flatMap((way) => rowsUnder(architecture, `The way of a ${way}`)))(
    'knows where this happens: %s',
    (_step, files, functions) => {
      const source = wordsIn(files!)
        .map((file) => readFileSync(join(project, file), 'utf8'))
        .join('\n')
      for (const name of wordsIn(functions!)) expect(source).toMatch(new RegExp(`\\b${name}\\(|class ${name}\\b`))
    },
  )
})
