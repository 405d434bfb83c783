import { constants } from 'node:crypto'
import { createSecureContext, type TlsOptions as NodeTlsOptions, type SecureContextOptions } from 'node:tls'
import type { Clock } from '../ports/clock'
import { alpn, type TlsIdentity, type TlsOptions, type TlsSettings } from '../ports/tls'
import { MqttError } from '../protocol/mqtt-error'
import { certificatesOf, revocationListsOf } from './certificate-input'
import { type ClientCertificateRules, guarded, judgeClient, withAuthorities } from './client-certificate'
import { protocolRange } from './ssl-protocol'

/**
 * The settings of a TLS listener: its own options, filled from the broker's. All is checked: certificate, dates,
 * versions, CAs. Throws MqttError.
 */
export function resolveTls(
  own: TlsOptions,
  defaults: TlsOptions,
  clock: Clock,
  versions: Readonly<Record<string, string | undefined>> = process.versions,
): TlsSettings {
  const options: TlsOptions = { ...given(defaults), ...given(own) }
  const identity = identityOf(options.certificate, clock)
  const range = protocolRange(options.sslProtocol, options.ciphers)
  checkFunction('checkServerIdentity', options.checkServerIdentity)
  checkFunction('SNICallback', options.SNICallback)
  const anchors = options.ca === undefined ? undefined : certificatesOf(options.ca, 'ca')
  const ca = anchors?.map(String)
  const crl = options.crl === undefined ? undefined : revocationListsOf(options.crl, 'crl')
  const requestCert = anchors !== undefined || options.checkServerIdentity !== undefined
  checkClientOptions(options, requestCert, versions)

  const serverOptions: NodeTlsOptions = {
    ...identity,
    ...range,
    ...(ca === undefined ? {} : { ca }),
    ...(crl === undefined ? {} : { crl }),
    ...alpn('mqtt', options.strictAlpn),
    requestCert,
    // The broker judges by itself, so that it can say why, and so that a hook can overrule.
    rejectUnauthorized: false,
    secureOptions: (identity.secureOptions ?? 0) | secureOptions(requestCert),
  }
  prove(serverOptions)
  if (options.SNICallback !== undefined) {
    const callback = guarded(options.SNICallback)
    serverOptions.SNICallback = ca === undefined ? callback : withAuthorities(callback, ca, crl ?? [])
  }
  const required = options.requireCertificate ?? requestCert
  const rules: ClientCertificateRules = {
    required,
    checkServerIdentity: options.checkServerIdentity,
    anchors: options.SNICallback === undefined ? undefined : anchors,
  }
  return {
    serverOptions,
    requiresCertificate: required,
    admit: (socket) => (requestCert ? judgeClient(socket, rules) : undefined),
  }
}

/** Runtimes that take a revocation list and let a revoked certificate pass. */
const blindRuntimes = ['Deno', 'Bun'] as const

/** No ticket with client certificates: a resumed session would not be checked against today's revocations. */
function secureOptions(requestCert: boolean): number {
  return constants.SSL_OP_NO_RENEGOTIATION | (requestCert ? constants.SSL_OP_NO_TICKET : 0)
}

/** The options that are set: an undefined one leaves the default in place. */
function given(options: TlsOptions): TlsOptions {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
}

function identityOf(certificate: TlsIdentity | undefined, clock: Clock): SecureContextOptions {
  if (typeof certificate?.secureContextOptions !== 'function') {
    throw invalid(
      certificate === undefined
        ? 'TLS needs a certificate: give one, such as ServerCertificate.fromPfx(bytes, passphrase)'
        : 'certificate is none: make it with ServerCertificate.fromPfx, fromPem or fromFiles',
    )
  }
  // Not instanceof: the application may hold the class of the other module format.
  if ('check' in certificate && typeof certificate.check === 'function') certificate.check(clock.wallTime())
  return certificate.secureContextOptions()
}

function checkFunction(name: string, value: unknown): void {
  if (value !== undefined && typeof value !== 'function')
    throw invalid(`${name} is not a function, as it is in Node's tls`)
}

function checkClientOptions(
  options: TlsOptions,
  requestCert: boolean,
  versions: Readonly<Record<string, string | undefined>>,
): void {
  const { strictAlpn } = options
  if (strictAlpn !== undefined && typeof strictAlpn !== 'boolean') throw invalid('strictAlpn is neither true nor false')
  const runtime = blindRuntimes.find((name) => versions[name.toLowerCase()] !== undefined)
  if (options.crl !== undefined && runtime !== undefined) {
    throw invalid(
      `crl cannot be given on ${runtime}, which does not look at revocation lists: use Node, or checkServerIdentity`,
    )
  }
  if (options.crl !== undefined && options.ca === undefined) {
    throw invalid('crl without ca: give the CA whose certificates the list revokes')
  }
  if (options.requireCertificate !== undefined && typeof options.requireCertificate !== 'boolean') {
    throw invalid('requireCertificate is neither true nor false')
  }
  if (options.requireCertificate && !requestCert) {
    throw invalid(
      'requireCertificate without ca and checkServerIdentity: nothing would judge the certificates. Give ca',
    )
  }
}

/** OpenSSL reads the whole once, before anything is open. */
function prove(options: SecureContextOptions): void {
  try {
    createSecureContext(options)
  } catch (cause) {
    const { message = String(cause), code = '' } = cause as { message?: string; code?: string }
    if (/CIPHER/.test(code)) throw invalid(`ciphers is not understood by OpenSSL: ${message}`, cause)
    if (/CRL/.test(message)) {
      throw new MqttError('GNATMQ_CERTIFICATE_INVALID', 'crl cannot be read as a revocation list: give PEM or DER', {
        cause,
      })
    }
    const hint = /TOO_SMALL|TOO_WEAK/.test(code) ? '. Have a new one signed, with RSA 2048 or EC P-256 and SHA-256' : ''
    throw new MqttError('GNATMQ_CERTIFICATE_INVALID', `OpenSSL refuses the certificate: ${message}${hint}`, { cause })
  }
}

const invalid = (message: string, cause?: unknown): MqttError =>
  new MqttError('GNATMQ_OPTION_INVALID', message, { cause })
