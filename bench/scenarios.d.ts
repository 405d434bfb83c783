export interface Scenario {
  id: string
  title: string
  kind: 'loop' | 'paced' | 'idle' | 'queue' | 'share'
  job: Readonly<Record<string, unknown>>
  quick?: boolean
  tls?: boolean
}

export const scenarios: readonly Scenario[]
