/** The cells of the first table under a heading, without its head. */
export function rowsUnder(text: string, heading: string): string[][] {
  const lines = text.split('\n')
  const start = lines.findIndex((line) => /^#+ /.test(line) && line.replace(/^#+ /, '') === heading)
  if (start < 0) throw new Error(`there is no heading "${heading}"`)
  const first = lines.findIndex((line, i) => i > start && line.startsWith('|'))
  const next = lines.findIndex((line, i) => i > start && line.startsWith('#'))
  if (first < 0 || (next > 0 && next < first)) throw new Error(`there is no table under "${heading}"`)
  const rows: string[][] = []
  for (let i = first; lines[i]?.startsWith('|') === true; i++) rows.push(cellsOf(lines[i]!))
  return rows.slice(2)
}

const cellsOf = (row: string): string[] =>
  row
    .slice(1, row.lastIndexOf('|'))
    .split('|')
    .map((cell) => cell.trim())
