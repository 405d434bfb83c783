import type { ClientLimits } from '../../ports/client-limits'
import type { ClientRights } from './client-rights'
import type { Deadline } from './deadline-wheel'
import type { Meter } from './meter'

/** What an identity says besides the user, once it is read. */
export interface IdentityFields {
  /** Wall time, in milliseconds. */
  readonly expiresAt?: number
  readonly rights?: ClientRights | undefined
  readonly limits?: ClientLimits | undefined
}

/** When an identity expires. It lies in the wheel while its connection is open. */
export class IdentityExpiry implements Deadline {
  slot = -1
  readonly dueAt: number
  /** Wall time, in milliseconds. */
  readonly at: number
  private readonly expired: () => void

  constructor(at: number, dueAt: number, expired: () => void) {
    this.at = at
    this.dueAt = dueAt
    this.expired = expired
  }

  due(): void {
    this.expired()
  }
}

/** What few clients have: the others need no room for it. */
export class ClientExtras {
  aborter: AbortController | undefined = undefined
  /** Wall time, in milliseconds. */
  expiresAt: number | undefined = undefined
  expiry: IdentityExpiry | undefined = undefined
  /** null where hooks alone decide. */
  rights: ClientRights | null = null
  /** Those of the identity; undefined where it has none. */
  limits: ClientLimits | undefined = undefined
  /** Of its limits; undefined where they have none. */
  maximumSubscriptions: number | undefined = undefined
  /** null where no rate bounds it. */
  meter: Meter | null = null
  /** Called when its session has no connection any more. */
  left: (() => void) | null = null
}
