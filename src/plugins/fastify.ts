import type { FastifyInstance } from 'fastify'
import fastifyPlugin from 'fastify-plugin'
import { type AttachOptions, MqttBroker, type MqttBrokerOptions, MqttError } from '../index'

declare module 'fastify' {
  interface FastifyInstance {
    /** The broker of this instance and of those below it. */
    mqtt: MqttBroker
  }
}

/** The options of the broker, and what only Fastify has. */
export interface FastifyMqttOptions extends MqttBrokerOptions {
  /**
   * MQTT over WebSocket on Fastify's own server, beside the other listeners: true for the path `/mqtt`, or the options of
   * `broker.attach`. Default: false. With `listeners: []` it is the only way in.
   */
  webSocket?: boolean | AttachOptions | undefined
  /** A broker that you have made, in place of the options of one. The plugin starts and stops it. */
  broker?: MqttBroker | undefined
}

/**
 * A broker as `fastify.mqtt`. It starts when Fastify is ready and stops in `preClose`, before Fastify waits for open WebSockets. What it
 * logs goes to Fastify's logger, unless `logger` is given. Rejects with GNATMQ_OPTION_INVALID, GNATMQ_OPTION_UNKNOWN and, from
 * `fastify.ready()`, with what `broker.start()` rejects with.
 */
const fastifyMqtt = fastifyPlugin<FastifyMqttOptions>(
  async (fastify, options) => {
    const { webSocket = false, ...rest } = withoutFastifysOwn(options)
    const broker = brokerOf(fastify, rest)
    if (webSocket !== false) await broker.attach(fastify.server, webSocket === true ? {} : webSocket)
    fastify.decorate('mqtt', broker)
    fastify.addHook('onReady', () => broker.start())
    fastify.addHook('preClose', () => broker.stop())
  },
  { name: 'gnatmq', fastify: '5.x' },
)

export default fastifyMqtt

/** `register` mixes its own options with those of the plugin. */
function withoutFastifysOwn(options: FastifyMqttOptions): FastifyMqttOptions {
  const { prefix, logLevel, logSerializers, ...own } = options as FastifyMqttOptions & Record<string, unknown>
  return own
}

function brokerOf(fastify: FastifyInstance, { broker, ...options }: FastifyMqttOptions): MqttBroker {
  if (broker === undefined) return new MqttBroker({ logger: fastify.log, ...options })
  const [stray] = Object.keys(options)
  if (stray !== undefined)
    throw new MqttError(
      'GNATMQ_OPTION_INVALID',
      `${stray} beside broker: the broker has its options already, leave it out`,
    )
  return broker
}
