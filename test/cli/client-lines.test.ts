import { describe, expect, it } from 'vitest'
import { clientLines } from '../../src/cli/client-lines'

const base = { host: 'localhost', port: 8883, caPath: '/data/ca.pem', username: undefined }

describe('the lines to paste', () => {
  it('name the CA, the host and the port', () => {
    expect(clientLines(base)).toEqual([
      'Subscribe:',
      "  mosquitto_sub --cafile /data/ca.pem -h localhost -p 8883 -t 'lamp/#' -v",
      'Publish:',
      '  mosquitto_pub --cafile /data/ca.pem -h localhost -p 8883 -t lamp/1 -m on',
      'MQTT.js:',
      "  import { readFileSync } from 'node:fs'",
      "  import { connectAsync } from 'mqtt'",
      `  const client = await connectAsync('mqtts://localhost:8883', { ca: readFileSync("/data/ca.pem") })`,
      "  await client.publishAsync('lamp/1', 'on')",
      '  await client.endAsync()',
    ])
  })

  it('have no CA without TLS', () => {
    const text = clientLines({ ...base, caPath: undefined, port: 1883 }).join('\n')
    expect(text).toContain("connectAsync('mqtt://localhost:1883')")
    expect(text).not.toMatch(/cafile|readFileSync/)
  })

  it('have a user where only users may connect', () => {
    const text = clientLines({ ...base, username: 'ada' }).join('\n')
    expect(text).toContain('-u ada -P PASSWORD -t')
    expect(text).toContain(`username: "ada", password: 'PASSWORD'`)
  })

  it.skipIf(process.platform === 'win32')('quote what a shell would take apart, and bracket an IPv6 address', () => {
    const lines = clientLines({ ...base, host: '::1', caPath: "/my data/it's.pem", username: '$HOME' })
    expect(lines[1]).toContain(`--cafile '/my data/it'\\''s.pem' -h ::1 -p 8883 -u '$HOME'`)
    expect(lines.join('\n')).toContain('mqtts://[::1]:8883')
  })
})
