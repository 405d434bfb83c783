import type { Readable } from 'node:stream'

/**
 * A stream that is paused keeps what it has read, and drops it when it closes or breaks. Call it before others listen
 * for that: `receive` gets what is left first.
 */
export function readRemains<Chunk>(stream: Readable, receive: (chunk: Chunk) => void): void {
  const read = (): void => {
    for (let chunk = stream.read(); chunk !== null; chunk = stream.read()) receive(chunk as Chunk)
  }
  const last = (): void => {
    stream.off('data', receive)
    read()
  }
  stream.once('error', last).once('close', last)
}
