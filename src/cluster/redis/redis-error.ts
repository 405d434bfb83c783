import { causeText } from '../../ports/given-values'
import { MqttError } from '../../protocol/mqtt-error'

/** What a server says begins with a word of capitals; what a client says of its connection does not. */
const SERVER_WORD = /^-?([A-Z]{2,})(?: |$)/

/** Words of a server that is about to be ready, or has moved on. */
const passing: readonly string[] = ['LOADING', 'BUSY', 'MASTERDOWN', 'CLUSTERDOWN', 'TRYAGAIN', 'UNBLOCKED']

/** What to do about it. */
const advice: Readonly<Record<string, string>> = {
  OOM: 'It has no memory left: raise maxmemory, and let maxmemory-policy be noeviction',
  READONLY: 'It is a replica: connect to the primary',
  MISCONF: 'It cannot write to its disk: see its log',
  NOAUTH: 'It wants a password: give the client one',
  WRONGPASS: 'The password or the user name of the client is wrong',
  NOPERM: 'The user of the client may not do this: let it have all commands on the keys of the namespace',
  WRONGTYPE: 'Something else has written under this namespace: choose another one',
  NOREPLICAS: 'It has fewer replicas than min-replicas-to-write asks for',
}

/** The word that a server has answered with; undefined if the server was not reached. */
export function serverWord(error: unknown): string | undefined {
  return SERVER_WORD.exec(causeText(error))?.[1]
}

/** Whether the same call may succeed later without any intervention. */
export function isUnavailable(error: unknown): boolean {
  const word = serverWord(error)
  return word === undefined || passing.includes(word)
}

export function redisFailed(message: string, cause?: unknown): MqttError {
  return new MqttError('GNATMQ_STORE_FAILED', message, cause === undefined ? {} : { cause })
}

/** A server has refused a call. */
export function refused(cause: unknown): MqttError {
  if (cause instanceof MqttError) return cause
  const hint = advice[serverWord(cause) ?? ''] ?? 'See the log of Redis'
  return redisFailed(`Redis refused: ${causeText(cause)}. ${hint}`, cause)
}

/** The first attempt to reach a server has failed. */
export function unreachable(cause: unknown): MqttError {
  if (cause instanceof MqttError) return cause
  if (serverWord(cause) !== undefined) return refused(cause)
  return redisFailed(
    `Redis cannot be reached: ${causeText(cause)}. Start it, or correct the address of the client`,
    cause,
  )
}

export function closed(): MqttError {
  return new MqttError('GNATMQ_NOT_RUNNING', 'the connection to Redis was closed')
}
