import { createHash, createHmac, pbkdf2Sync } from 'node:crypto'
import { connect, type MqttClient } from 'mqtt'
import { connected } from './reader'

/** The client's side of SCRAM-SHA-256 (RFC 7677). */
function scramClient(username: string, password: string) {
  const first = `n=${username},r=clientnonce`
  const hmac = (key: Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest()
  return {
    first: Buffer.from(`n,,${first}`),
    final(challenge: string): Buffer {
      const [, nonce, salt, iterations] = /^r=([^,]+),s=([^,]+),i=(\d+)$/.exec(challenge)!
      const salted = pbkdf2Sync(password, Buffer.from(salt!, 'base64'), Number(iterations), 32, 'sha256')
      const clientKey = hmac(salted, 'Client Key')
      const signature = hmac(createHash('sha256').update(clientKey).digest(), `${first},${challenge},c=biws,r=${nonce}`)
      const proof = Buffer.from(clientKey.map((byte, i) => byte ^ signature[i]!))
      return Buffer.from(`c=biws,r=${nonce},p=${proof.toString('base64')}`)
    },
  }
}

export function scramConnection(port: number, password: string): Promise<MqttClient> {
  const exchange = scramClient('ada', password)
  const authenticationMethod = 'SCRAM-SHA-256'
  const properties = { authenticationMethod, authenticationData: exchange.first }
  const one = connect(`mqtt://localhost:${port}`, {
    protocolVersion: 5,
    reconnectPeriod: 0,
    manualConnect: true,
    properties,
  })
  one.handleAuth = (packet, done) => {
    const authenticationData = exchange.final(packet.properties!.authenticationData!.toString())
    done(undefined, { cmd: 'auth', reasonCode: 0x18, properties: { authenticationMethod, authenticationData } })
  }
  one.connect()
  return connected(one)
}
