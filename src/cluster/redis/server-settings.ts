import type { Logger } from '../../ports/logger'
import { redisFailed } from './redis-error'
import type { RedisLink } from './redis-link'
import { listOf, pairsOf, textOf } from './reply'

/** Settings of a server that lose what was acknowledged, with the value that does not. */
const wanted = {
  appendonly: ['yes', 'a restart of Redis loses what was committed since its last snapshot'],
  appendfsync: ['always', 'a power failure loses what was committed in the last second'],
  'maxmemory-policy': ['noeviction', 'Redis removes sessions and messages when it is full'],
} as const

/**
 * Looks at what a server promises. Rejects with GNATMQ_STORE_FAILED for a replica, and logs each setting that is weaker than what
 * the broker promises to its clients.
 */
export async function checkServer(link: RedisLink, logger: Logger): Promise<void> {
  const role = await ask(() => link.command('ROLE'), logger)
  if (role !== undefined && textOf(listOf(role)[0]) === 'slave')
    throw redisFailed('Redis is a replica, which takes no writes: connect to its primary')
  for (const [name, [value, consequence]] of Object.entries(wanted)) {
    const answer = await ask(() => link.command('CONFIG', 'GET', name), logger)
    for (const [, found] of pairsOf(answer))
      if (textOf(found) !== value)
        logger.warn(
          { setting: name, value: textOf(found), wanted: value },
          `the setting ${name} of Redis: ${consequence}`,
        )
  }
}

/** Services forbid some commands. */
async function ask<T>(question: () => Promise<T>, logger: Logger): Promise<T | undefined> {
  try {
    return await question()
  } catch (err) {
    logger.warn({ err }, 'Redis does not tell its settings: see that it keeps what it has acknowledged')
    return undefined
  }
}
