import { createHash } from 'node:crypto'

/** A Lua script, and the name under which a server has it once it has run it. */
export class Script {
  readonly source: string
  readonly sha: string

  constructor(source: string) {
    this.source = source
    this.sha = createHash('sha1').update(source).digest('hex')
  }
}
