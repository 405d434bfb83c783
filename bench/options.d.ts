export interface BenchOptions {
  quick: boolean
  verify: boolean
  list: boolean
  help: boolean
  dist: string | undefined
  scenarios: string[]
  peers: string[] | undefined
  rounds: number
  seconds: number
}

export const peerNames: readonly string[]
export const usage: string
export function parseOptions(args: readonly string[]): BenchOptions
