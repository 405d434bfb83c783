/**
 * The broker as a module of NestJS: everything that `gnatmq/nestjs` gives.
 *
 * @module gnatmq/nestjs
 */
export { MqttBrokerModule, type MqttBrokerModuleOptions } from './mqtt-broker-module'
export { MqttHooks } from './mqtt-hooks'
export { OnMqttEvent } from './on-mqtt-event'
