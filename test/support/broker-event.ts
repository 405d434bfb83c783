import type { MqttBroker } from '../../src/mqtt-broker'
import type { BrokerEvents } from '../../src/ports/events'

/** What the next event of this name brings. Node's own `once` does not know the types of these events. */
export function nextEvent<E extends keyof BrokerEvents>(broker: MqttBroker, name: E): Promise<BrokerEvents[E]> {
  return new Promise((resolve) => {
    const listener = (...values: unknown[]): void => resolve(values as BrokerEvents[E])
    broker.once(name, listener as Parameters<typeof broker.once<E>>[1])
  })
}
