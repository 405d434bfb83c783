import { DEFAULT_CIPHERS } from 'node:tls'
import { describe, expect, it } from 'vitest'
import { MqttSslProtocols, protocolRange } from '../../src/security/ssl-protocol'

const { None, SSLv3, TLSv1_0, TLSv1_1, TLSv1_2, TLSv1_3 } = MqttSslProtocols

describe('protocolRange', () => {
  it('is TLS 1.2 to 1.3 where nothing is given', () => {
    expect(protocolRange(undefined)).toEqual({ minVersion: 'TLSv1.2', maxVersion: 'TLSv1.3' })
  })

  it('is exactly the one version that is given', () => {
    const ciphers = `${DEFAULT_CIPHERS}:@SECLEVEL=0`
    expect(protocolRange(TLSv1_0)).toEqual({ minVersion: 'TLSv1', maxVersion: 'TLSv1', ciphers })
    expect(protocolRange(TLSv1_1)).toEqual({ minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers })
    expect(protocolRange(TLSv1_2)).toEqual({ minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' })
    expect(protocolRange(TLSv1_3)).toEqual({ minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3' })
  })

  it('is the range that is given', () => {
    const ciphers = `${DEFAULT_CIPHERS}:@SECLEVEL=0`
    expect(protocolRange({ min: TLSv1_1, max: TLSv1_3 })).toEqual({
      minVersion: 'TLSv1.1',
      maxVersion: 'TLSv1.3',
      ciphers,
    })
    expect(protocolRange({ min: TLSv1_3, max: TLSv1_3 })).toEqual({ minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3' })
  })

  it('keeps ciphers of the user, at a security level that the version needs', () => {
    expect(protocolRange(TLSv1_2, 'ECDHE+AESGCM').ciphers).toBe('ECDHE+AESGCM')
    expect(protocolRange(TLSv1_0, 'AES128-SHA').ciphers).toBe('AES128-SHA:@SECLEVEL=0')
    expect(protocolRange(TLSv1_0, 'AES128-SHA:@SECLEVEL=1').ciphers).toBe('AES128-SHA:@SECLEVEL=1')
  })

  it('refuses SSLv3 and says what to use', () => {
    for (const setting of [SSLv3, { min: SSLv3, max: TLSv1_2 }]) {
      expect(() => protocolRange(setting)).toThrow(
        expect.objectContaining({
          code: 'GNATMQ_SSL_PROTOCOL_UNSUPPORTED',
          message: expect.stringMatching(/no OpenSSL that Node ships.*TLSv1_2/),
        }),
      )
    }
  })

  it('refuses a range upside down', () => {
    expect(() => protocolRange({ min: TLSv1_3, max: TLSv1_2 })).toThrow(
      expect.objectContaining({
        code: 'GNATMQ_SSL_PROTOCOL_UNSUPPORTED',
        message: expect.stringContaining('upside down'),
      }),
    )
  })

  it('refuses None: there is no range of no TLS', () => {
    expect(() => protocolRange(None)).toThrow(
      expect.objectContaining({ message: expect.stringContaining('means no TLS') }),
    )
  })

  it('refuses what is no version', () => {
    for (const setting of ['TLSv1.2', '', 'constructor', 3, null, {}, { min: TLSv1_2 }] as never[]) {
      expect(() => protocolRange(setting)).toThrow(expect.objectContaining({ code: 'GNATMQ_OPTION_INVALID' }))
    }
  })
})
