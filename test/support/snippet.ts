import { readFileSync } from 'node:fs'

/** A fenced block of a Markdown file. */
export interface Snippet {
  language: string
  code: string
  /** The `##` heading that it stands under, or the title of the page. */
  section: string
  /** Its first line where that is a comment with a file name, else its section and number. */
  name: string
  /** The line of the file that it begins at. */
  line: number
}

/** Every fenced block of a Markdown file, in its order. */
export function snippetsOf(path: string | URL): Snippet[] {
  const snippets: Snippet[] = []
  let section = ''
  let open: Snippet | undefined
  let count = 0
  for (const [index, line] of readFileSync(path, 'utf8').split('\n').entries()) {
    if (open !== undefined) {
      if (line === '```') {
        snippets.push({ ...open, name: /^(?:\/\/|#) (\S+\.\w+|Dockerfile)\n/.exec(open.code)?.[1] ?? open.name })
        open = undefined
      } else open.code += `${line}\n`
    } else if (line.startsWith('```')) {
      count++
      open = { language: line.slice(3), code: '', section, name: `${section} ${count}`, line: index + 2 }
    } else if (/^##? /.test(line)) {
      section = line.replace(/^#+ /, '')
      count = 0
    }
  }
  if (open !== undefined) throw new Error(`the block that begins at line ${open.line} does not end`)
  return snippets
}

/** What a snippet says that it prints, in comments `// prints: …`. */
export function promisedOutput({ code }: Snippet): string[] {
  return [...code.matchAll(/\/\/ prints: (.*)$/gm)].map(([, output]) => output!)
}
