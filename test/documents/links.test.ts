import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { describe, expect, it } from 'vitest'
import { project } from '../support/build'
import { anchorsOf, documents, proseOf } from '../support/markdown-file'

const manifest = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8'))
const repository = 'https://github.com/gnatmq/gnatmq'
const inRepository = new RegExp(`^${repository}/(?:blob|tree)/main/(.+)$`)

const linksOf = (document: string): string[] =>
  [...proseOf(document).matchAll(/\]\(([^)\s]+)\)/g)].map(([, link]) => link!)

describe('the repository', () => {
  it('is the one of package.json', () => {
    expect(manifest.repository.url).toBe(`git+${repository}.git`)
    expect(manifest.homepage).toBe(`${repository}#readme`)
    expect(manifest.bugs.url).toBe(`${repository}/issues`)
  })
})

describe.each(documents)('%s', (document) => {
  it('links to files and headings that there are', () => {
    const broken = linksOf(document).filter((link) => !leadsSomewhere(document, link))
    expect(broken).toEqual([])
  })
})

/** A link into the project must lead to a file of it, and to one of its headings; other sites are not asked. */
function leadsSomewhere(document: string, link: string): boolean {
  const [address, anchor] = link.split('#') as [string, string?]
  const own = inRepository.exec(address)?.[1]
  if (own === undefined && /^https?:/.test(address)) return true
  // made by `npm run docs`, which checks these links itself
  if (/(^|\/)api\//.test(address)) return true
  const target = own ?? (address === '' ? document : normalize(join(dirname(document), address)))
  if (!existsSync(join(project, target))) return false
  return anchor === undefined || !target.endsWith('.md') || anchorsOf(target).includes(anchor)
}

describe('README.md', () => {
  it('has absolute links only, which lead somewhere from npm too', () => {
    expect(linksOf('README.md').filter((link) => !link.startsWith('https://'))).toEqual([])
  })
})
