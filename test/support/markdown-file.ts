import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { project } from './build'

/** Every Markdown file that users read, by its path from the project's folder. */
export const documents: readonly string[] = [
  ...readdirSync(project).filter((name) => name.endsWith('.md')),
  ...readdirSync(join(project, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md') && !/(^|[\\/])(node_modules|api|\.vitepress)[\\/]/.test(name))
    .map((name) => join('docs', name)),
].sort()

export const textOf = (document: string): string => readFileSync(join(project, document), 'utf8')

/** The text without its fenced blocks. */
export const proseOf = (document: string): string => textOf(document).replace(/^```[^\n]*\n[\s\S]*?^```$/gm, '')

/** The headings of a document as its page has them in links. */
export const anchorsOf = (document: string): string[] =>
  [...proseOf(document).matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
    heading!
      .toLowerCase()
      .replace(/[^\w -]/g, '')
      .replaceAll(' ', '-'),
  )

/** The headings that a table follows, before another heading does. */
export function tablesOf(document: string): string[] {
  const headings: string[] = []
  let heading: string | undefined
  for (const line of proseOf(document).split('\n')) {
    if (/^#+ /.test(line)) heading = line.replace(/^#+ /, '')
    else if (line.startsWith('| ---')) {
      if (heading === undefined) throw new Error(`two tables under one heading in ${document}: ${line}`)
      headings.push(heading)
      heading = undefined
    }
  }
  return headings
}
