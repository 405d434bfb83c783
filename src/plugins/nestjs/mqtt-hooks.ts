import { SetMetadata } from '@nestjs/common'
import type { Hooks } from '../../index'

/** The key of the metadata that `MqttHooks` writes. */
export const ARE_HOOKS = 'gnatmq:hooks'

/**
 * Marks a provider as hooks of the broker: its methods `authenticate`, `authorizePublish`, `authorizeSubscribe` and `authorizeDelivery` are
 * those of the option of the same name, and may use what is injected into it. The module sets them before the broker starts.
 */
export const MqttHooks =
  () =>
  (target: new (...args: never[]) => Hooks): void => {
    SetMetadata(ARE_HOOKS, true)(target)
  }
