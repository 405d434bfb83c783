/** What a server answers, as clients give it: bytes as buffers. */
export type Reply = Buffer | string | number | null | undefined | readonly Reply[]

export type Argument = Buffer | string

export function textOf(reply: Reply): string {
  if (reply === null || reply === undefined) return ''
  if (Buffer.isBuffer(reply)) return reply.toString()
  if (reply instanceof Uint8Array) return Buffer.from(reply).toString()
  return String(reply)
}

export const numberOf = (reply: Reply): number => Number(textOf(reply))

export function bytesOf(reply: Reply): Buffer {
  return Buffer.isBuffer(reply) ? reply : Buffer.from(textOf(reply))
}

/** The elements of an answer; none where there is nothing. */
export function listOf(reply: Reply): readonly Reply[] {
  return Array.isArray(reply) ? reply : []
}

/** Neighbours of a flat list of fields and values. */
export function* pairsOf(reply: Reply): Generator<readonly [Reply, Reply]> {
  const list = listOf(reply)
  for (let i = 0; i + 1 < list.length; i += 2) yield [list[i], list[i + 1]]
}

/** Milliseconds since 1970, of the answer to TIME. */
export function timeOf(reply: Reply): number {
  const [seconds, micros] = listOf(reply)
  return numberOf(seconds) * 1000 + Math.floor(numberOf(micros) / 1000)
}
