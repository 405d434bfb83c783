import { SetMetadata } from '@nestjs/common'
import type { BrokerEvents } from '../../index'

/** The key of the metadata that `OnMqttEvent` writes. */
export const EVENT_NAME = 'gnatmq:event'

type Listener<Name extends keyof BrokerEvents> = (...args: BrokerEvents[Name]) => unknown

/**
 * Calls the method of a provider or controller for each event of that name of the broker, with the arguments of the event. What the
 * method throws or rejects with goes to the broker's logger.
 */
export const OnMqttEvent =
  <Name extends keyof BrokerEvents>(name: Name) =>
  <Method extends Listener<Name>>(
    target: object,
    key: string | symbol,
    descriptor: TypedPropertyDescriptor<Method>,
  ): void => {
    SetMetadata(EVENT_NAME, name)(target, key, descriptor as TypedPropertyDescriptor<unknown>)
  }
