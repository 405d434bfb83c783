import { availableParallelism, cpus, release, totalmem, type } from 'node:os'

/** What a reader has to know about the machine; nothing that names it. */
export function describeMachine() {
  return {
    cpu: (cpus()[0]?.model ?? 'unknown').trim(),
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${type()} ${release().split('-')[0]} ${process.arch}`,
    node: process.version,
  }
}
