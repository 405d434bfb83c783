import { type ClientLimits, givenClientLimits } from '../../ports/client-limits'
import { invalidValue } from '../../ports/given-values'
import type { Rights } from '../../ports/rights'
import { MqttError } from '../../protocol/mqtt-error'
import type { IdentityFields } from './client-extras'
import { ClientRights } from './client-rights'

/** The fields of an answer that are about the identity, besides the user and the data. */
export const identityNames = ['expiresAt', 'limits', 'rights'] as const

/** What an application has said of an identity. Throws GNATMQ_OPTION_INVALID, or GNATMQ_IDENTITY_EXPIRED for one that is over at `wallTime`. */
export function givenIdentity(
  { expiresAt, limits, rights }: { [name in (typeof identityNames)[number]]?: unknown },
  wallTime: number,
): IdentityFields | undefined {
  if (expiresAt === undefined && limits === undefined && rights === undefined) return undefined
  const identity: { expiresAt?: number; limits?: ClientLimits; rights?: ClientRights } = {}
  if (limits !== undefined) identity.limits = givenClientLimits('limits', limits)
  if (rights !== undefined) identity.rights = new ClientRights(rights as Rights)
  if (expiresAt !== undefined) identity.expiresAt = givenTime(expiresAt, wallTime)
  return identity
}

function givenTime(expiresAt: unknown, wallTime: number): number {
  const at = expiresAt instanceof Date ? expiresAt.getTime() : expiresAt
  if (typeof at !== 'number' || !Number.isFinite(at))
    throw invalidValue('expiresAt', 'a Date, or milliseconds since 1970', expiresAt)
  if (at <= wallTime) throw new MqttError('GNATMQ_IDENTITY_EXPIRED', 'the identity has expired before it was accepted')
  return at
}
