import { answer, ownUsage } from '../answers.js'

let broker

answer({
  /** `dist` is the address of the module; `tls` is { cert, key } or nothing. */
  async start({ dist, tls }) {
    const { MqttBroker, MqttSslProtocols, ServerCertificate } = await import(dist)
    broker = await MqttBroker.start({
      port: 0,
      host: '127.0.0.1',
      authorizePublish: (client, message) => message.topic.length > 0 && client.connected,
      ...(tls && { certificate: ServerCertificate.fromPem(tls), sslProtocol: MqttSslProtocols.TLSv1_3 }),
    })
    return broker.port
  },
  usage: ownUsage,
})
