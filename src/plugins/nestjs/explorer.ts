import { Inject, Injectable } from '@nestjs/common'
import { DiscoveryService, MetadataScanner, Reflector } from '@nestjs/core'
import type { BrokerEvents, Hooks } from '../../index'
import { ARE_HOOKS } from './mqtt-hooks'
import { EVENT_NAME } from './on-mqtt-event'

const hookNames = ['authenticate', 'authorizePublish', 'authorizeSubscribe', 'authorizeDelivery'] as const

interface EventListener {
  readonly name: keyof BrokerEvents
  readonly listener: (...args: unknown[]) => unknown
}

type Methods = Record<string, (...args: unknown[]) => unknown>

/** Finds what the providers and controllers of an application have for the broker. */
export class Explorer {
  constructor(
    private readonly discovery: DiscoveryService,
    private readonly scanner: MetadataScanner,
    private readonly reflector: Reflector,
  ) {}

  /** The hooks of each provider that `MqttHooks` marks, bound to it. */
  hooks(): Hooks[] {
    return this.instances()
      .filter((instance) => this.reflector.get(ARE_HOOKS, instance.constructor) === true)
      .map((instance) => {
        const methods = instance as Methods
        const names = hookNames.filter((name) => typeof methods[name] === 'function')
        return Object.fromEntries(names.map((name) => [name, methods[name]!.bind(instance)])) as Hooks
      })
  }

  /** Every method that `OnMqttEvent` marks, bound to its instance. */
  listeners(): EventListener[] {
    return this.instances().flatMap((instance) => {
      const methods = instance as Methods
      return this.scanner.getAllMethodNames(Object.getPrototypeOf(instance)).flatMap((method) => {
        const name: keyof BrokerEvents | undefined = this.reflector.get(EVENT_NAME, methods[method]!)
        return name === undefined ? [] : [{ name, listener: methods[method]!.bind(instance) }]
      })
    })
  }

  private instances(): object[] {
    const wrappers = [...this.discovery.getProviders(), ...this.discovery.getControllers()]
    const instances = wrappers
      .filter((wrapper) => wrapper.isDependencyTreeStatic())
      .map((wrapper): unknown => wrapper.instance)
    // one class may be a provider of several names
    return [...new Set(instances.filter((instance) => typeof instance === 'object' && instance !== null))] as object[]
  }
}

Inject(DiscoveryService)(Explorer, undefined, 0)
Inject(MetadataScanner)(Explorer, undefined, 1)
Inject(Reflector)(Explorer, undefined, 2)
Injectable()(Explorer)
