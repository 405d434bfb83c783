import { invalidValue } from '../../ports/given-values'
import { MqttError } from '../../protocol/mqtt-error'
import type { IdentityFields } from './client-extras'

/** The fields of an answer that are about the identity, besides the user and the data. */
export const identityNames = ['expiresAt'] as const

/** What an application has said of an identity. Throws GNATMQ_OPTION_INVALID, or GNATMQ_IDENTITY_EXPIRED for one that is over at `wallTime`. */
export function givenIdentity(
  { expiresAt }: { [name in (typeof identityNames)[number]]?: unknown },
  wallTime: number,
): IdentityFields | undefined {
  if (expiresAt === undefined) return undefined
  const at = expiresAt instanceof Date ? expiresAt.getTime() : expiresAt
  if (typeof at !== 'number' || !Number.isFinite(at))
    throw invalidValue('expiresAt', 'a Date, or milliseconds since 1970', expiresAt)
  if (at <= wallTime) throw new MqttError('GNATMQ_IDENTITY_EXPIRED', 'the identity has expired before it was accepted')
  return { expiresAt: at }
}
