import {
  type BeforeApplicationShutdown,
  ConfigurableModuleBuilder,
  Inject,
  Module,
  type OnApplicationBootstrap,
} from '@nestjs/common'
import { DiscoveryModule, HttpAdapterHost } from '@nestjs/core'
import { type AttachOptions, MqttBroker, type MqttBrokerOptions, MqttError } from '../../index'
import { Explorer } from './explorer'

/** The options of the broker, and what only Nest has. */
export interface MqttBrokerModuleOptions extends MqttBrokerOptions {
  /**
   * MQTT over WebSocket on Nest's own HTTP server, beside the other listeners: true for the path `/mqtt`, or the options of
   * `broker.attach`. Default: false. With `listeners: []` it is the only way in.
   */
  webSocket?: boolean | AttachOptions | undefined
}

const { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN } = new ConfigurableModuleBuilder<MqttBrokerModuleOptions>()
  .setClassMethodName('forRoot')
  .setExtras({ isGlobal: true }, (definition, { isGlobal }) => ({ ...definition, global: isGlobal }))
  .build()

/**
 * A broker that every provider can inject as `MqttBroker`: `MqttBrokerModule.forRoot(options)`, or `forRootAsync({ useFactory, inject })`.
 * It starts when the application has been bootstrapped, with the hooks of all providers that are marked `@MqttHooks()`, and stops before
 * Nest waits for open WebSockets; `app.enableShutdownHooks()` lets a signal do that. What `broker.start()` rejects with ends the start of
 * the application.
 */
export class MqttBrokerModule
  extends ConfigurableModuleClass
  implements OnApplicationBootstrap, BeforeApplicationShutdown
{
  constructor(
    private readonly broker: MqttBroker,
    private readonly explorer: Explorer,
    private readonly adapterHost: HttpAdapterHost,
    private readonly options: MqttBrokerModuleOptions,
  ) {
    super()
  }

  async onApplicationBootstrap(): Promise<void> {
    const { webSocket = false } = this.options
    for (const hooks of this.explorer.hooks()) this.broker.use(hooks)
    for (const { name, listener } of this.explorer.listeners()) this.broker.on(name, listener)
    if (webSocket !== false) await this.broker.attach(this.server(), webSocket === true ? {} : webSocket)
    await this.broker.start()
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.broker.stop()
  }

  private server(): Parameters<MqttBroker['attach']>[0] {
    const adapter = this.adapterHost.httpAdapter
    if (adapter === undefined || adapter === null)
      throw new MqttError('GNATMQ_OPTION_INVALID', 'webSocket in an application without an HTTP server: leave it out')
    return adapter.getHttpServer()
  }
}

function brokerOf({ webSocket, ...options }: MqttBrokerModuleOptions): MqttBroker {
  return new MqttBroker(options)
}

// Decorators as calls: the package is built without the metadata that the compiler of an application emits.
Inject(MqttBroker)(MqttBrokerModule, undefined, 0)
Inject(Explorer)(MqttBrokerModule, undefined, 1)
Inject(HttpAdapterHost)(MqttBrokerModule, undefined, 2)
Inject(MODULE_OPTIONS_TOKEN)(MqttBrokerModule, undefined, 3)
Module({
  imports: [DiscoveryModule],
  providers: [Explorer, { provide: MqttBroker, useFactory: brokerOf, inject: [MODULE_OPTIONS_TOKEN] }],
  exports: [MqttBroker],
})(MqttBrokerModule)
