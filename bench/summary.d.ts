export interface Turn {
  figures?: Readonly<Record<string, number>>
  missing?: number
  extra?: number
  limitedByLoad?: boolean
  error?: string
}

export interface Row {
  id: string
  key: string
  main: boolean
  cells: Readonly<Record<string, { median: number; spread: number; rounds: number }>>
  ratios: Readonly<Record<string, { median: number; least: number; greatest: number }>>
  marks: readonly string[]
}

export function summarise(
  results: readonly { id: string; title: string; kind: string; turns: Readonly<Record<string, readonly Turn[]>> }[],
): Row[]
