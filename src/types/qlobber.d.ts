declare module 'qlobber' {
  interface QlobberOptions {
    separator?: string
    wildcard_one?: string
    wildcard_some?: string
    match_empty_levels?: boolean
    max_words?: number
  }
  type Level<T> = Map<string, Level<T> | T[]>
  export class Qlobber<T> {
    constructor(options?: QlobberOptions)
    add(topic: string, value: T): this
    remove(topic: string, value?: T): this
    match(topic: string): T[]
    protected _add(value: T, at: number, words: readonly string[], level: Level<T>): T[]
    protected _remove(value: T, at: number, words: readonly string[], level: Level<T>): boolean
  }
}
