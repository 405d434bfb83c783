import { X509Certificate } from 'node:crypto'
import type { CertificateInput } from '../ports/tls'
import { MqttError } from '../protocol/mqtt-error'

const pemBlock = /-----BEGIN ([A-Z0-9 ]+)-----[\s\S]*?-----END \1-----/g
const certificateLabels: readonly string[] = ['CERTIFICATE', 'X509 CERTIFICATE', 'TRUSTED CERTIFICATE']

/**
 * The certificates of PEM or DER, one or several, in their order. `name` says in an error where they came from.
 * Throws GNATMQ_CERTIFICATE_INVALID.
 */
export function certificatesOf(input: CertificateInput, name: string): X509Certificate[] {
  const blocks = inputsOf(input, name).flatMap((one) => {
    const pem = pemOf(one)
    return pem === undefined ? [one] : pemBlocks(pem, certificateLabels)
  })
  if (blocks.length === 0) {
    throw new MqttError(
      'GNATMQ_CERTIFICATE_INVALID',
      `${name} holds no certificate: give PEM ("BEGIN CERTIFICATE") or DER`,
    )
  }
  return blocks.map((block) => {
    try {
      return new X509Certificate(block)
    } catch (cause) {
      throw new MqttError(
        'GNATMQ_CERTIFICATE_INVALID',
        `${name} cannot be read as an X.509 certificate: give PEM ("BEGIN CERTIFICATE") or DER (.cer)`,
        { cause },
      )
    }
  })
}

/** Revocation lists as PEM, which is all that Node takes. Throws GNATMQ_CERTIFICATE_INVALID. */
export function revocationListsOf(input: CertificateInput, name: string): string[] {
  const lists = inputsOf(input, name).flatMap((one) => {
    const pem = pemOf(one)
    return pem === undefined ? [toPem('X509 CRL', one as Uint8Array)] : pemBlocks(pem, ['X509 CRL'])
  })
  if (lists.length > 0) return lists
  throw new MqttError(
    'GNATMQ_CERTIFICATE_INVALID',
    `${name} holds no revocation list: give PEM ("BEGIN X509 CRL") or DER`,
  )
}

/** The text of a PEM input, or undefined for DER. */
export function pemOf(input: string | Uint8Array): string | undefined {
  if (typeof input === 'string') return input
  return Buffer.from(input.buffer, input.byteOffset, input.byteLength).includes('-----BEGIN ')
    ? Buffer.from(input).toString('latin1')
    : undefined
}

/** The PEM blocks of the given labels. */
export function pemBlocks(pem: string, labels: readonly string[]): string[] {
  return [...pem.matchAll(pemBlock)].filter((match) => labels.includes(match[1]!)).map((match) => match[0])
}

function toPem(label: string, bytes: Uint8Array): string {
  const lines =
    Buffer.from(bytes)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`
}

function inputsOf(input: CertificateInput, name: string): ReadonlyArray<string | Uint8Array> {
  const inputs = typeof input === 'string' || input instanceof Uint8Array ? [input] : input
  if (Array.isArray(inputs) && Array.from(inputs).every((one) => typeof one === 'string' || one instanceof Uint8Array))
    return inputs
  throw new MqttError(
    'GNATMQ_OPTION_INVALID',
    `${name} is not a string (PEM), a Buffer (PEM or DER) or an array of these: read the file first`,
  )
}
