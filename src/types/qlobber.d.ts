declare module 'qlobber' {
  interface QlobberOptions {
    separator?: string
    wildcard_one?: string
    wildcard_some?: string
    match_empty_levels?: boolean
    max_words?: number
  }
  export class Qlobber<T> {
    constructor(options?: QlobberOptions)
    add(topic: string, value: T): this
    remove(topic: string, value?: T): this
    match(topic: string): T[]
  }
}
