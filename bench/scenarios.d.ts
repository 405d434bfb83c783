export interface Scenario {
  id: string
  title: string
  kind: 'loop' | 'paced' | 'idle' | 'queue' | 'filters' | 'share' | 'pressed'
  job: Readonly<Record<string, unknown>>
  disturbance?: Readonly<Record<string, unknown>>
  quick?: boolean
  tls?: boolean
}

export const scenarios: readonly Scenario[]
