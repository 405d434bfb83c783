import { isIPv6 } from 'node:net'

/** What clients need to reach the broker. */
export interface ClientAddress {
  host: string
  port: number
  /** File of the CA; undefined without TLS. */
  caPath: string | undefined
  /** A user of the password file, if there is one. */
  username: string | undefined
}

/** The lines to paste that reach the broker: mosquitto_sub, mosquitto_pub, and MQTT.js. */
export function clientLines(address: ClientAddress): string[] {
  const { host, port, caPath, username } = address
  const words = [
    ...(caPath === undefined ? [] : ['--cafile', quoted(caPath)]),
    ...['-h', quoted(host), '-p', String(port)],
    ...(username === undefined ? [] : ['-u', quoted(username), '-P', 'PASSWORD']),
  ].join(' ')
  return [
    'Subscribe:',
    `  mosquitto_sub ${words} -t 'lamp/#' -v`,
    'Publish:',
    `  mosquitto_pub ${words} -t lamp/1 -m on`,
    'MQTT.js:',
    ...snippet(address).map((line) => `  ${line}`),
  ]
}

function snippet({ host, port, caPath, username }: ClientAddress): string[] {
  const url = `${caPath === undefined ? 'mqtt' : 'mqtts'}://${isIPv6(host) ? `[${host}]` : host}:${port}`
  const options = [
    ...(caPath === undefined ? [] : [`ca: readFileSync(${JSON.stringify(caPath)})`]),
    ...(username === undefined ? [] : [`username: ${JSON.stringify(username)}`, `password: 'PASSWORD'`]),
  ]
  const second = options.length === 0 ? '' : `, { ${options.join(', ')} }`
  return [
    ...(caPath === undefined ? [] : [`import { readFileSync } from 'node:fs'`]),
    `import { connectAsync } from 'mqtt'`,
    `const client = await connectAsync('${url}'${second})`,
    `await client.publishAsync('lamp/1', 'on')`,
    'await client.endAsync()',
  ]
}

/** A word of a shell, quoted only where it has to be. */
function quoted(word: string): string {
  if (/^[\w./:@%+,-]+$/.test(word)) return word
  return process.platform === 'win32' ? `"${word}"` : `'${word.replaceAll("'", `'\\''`)}'`
}
