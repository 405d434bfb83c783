/** How long a step may take, and how the error names it. */
export interface Patience {
  what: string
  seconds: number
}

export class Child {
  static start(module: string, cores?: string | null): Promise<Child>
  ask(method: 'open', job: Readonly<Record<string, unknown>>, patience?: Patience): Promise<void>
  ask(method: 'leave'): Promise<void>
  ask(method: 'start', settings: Readonly<Record<string, unknown>>): Promise<number>
  ask(method: 'snapshot', argument?: { latencies: boolean }): Promise<{ delivered: number; latencies: number[] }>
  ask(
    method: 'prepare' | 'run',
    argument: Readonly<Record<string, unknown>>,
    patience?: Patience,
  ): Promise<Readonly<Record<string, number>>>
  ask(method: 'finish'): Promise<{ sent: number; delivered: number; missing: number; extra: number }>
  stop(): Promise<void>
}
