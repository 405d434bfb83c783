import { oneOf, wholeNumber } from './arguments'

/** The options that every certificate has. */
export const certificateOptions = {
  name: { type: 'string' },
  key: { type: 'string' },
  bits: { type: 'string' },
  curve: { type: 'string' },
  hash: { type: 'string' },
  days: { type: 'string' },
  out: { type: 'string' },
  password: { type: 'string' },
  force: { type: 'boolean' },
} as const

/** The options of a certificate that a CA signs. */
export const issuedOptions = {
  ...certificateOptions,
  ca: { type: 'string' },
  'ca-key': { type: 'string' },
  'ca-password': { type: 'string' },
  pfx: { type: 'string' },
} as const

export const certificateHelp = `  --key rsa|ec        kind of key (default: ec, or rsa with --bits)
  --bits N            length of an RSA key, 2048 to 4096 (default: 2048)
  --curve CURVE       P-256, P-384 or P-521 (default: P-256)
  --hash HASH         sha256, sha384 or sha512
  --days N            validity in days
  --out DIR           where the files go (default: here)
  --force             replaces files that exist`

export const issuedHelp = `  --ca FILE           certificate of the CA
  --ca-key FILE       private key of the CA
  --ca-password P     password of the CA's key
  --pfx FILE          writes a PFX file too: certificate, key and CA in one
  --password P        protects the PFX file and the private key`

type Words = Partial<Record<'key' | 'bits' | 'curve' | 'hash' | 'days', string | undefined>>

/** The words of the command line as the options of CertificateAuthority. */
export function keyOptions(values: Words) {
  return {
    key: oneOf(values.key, 'key', { rsa: 'rsa', ec: 'ec' }),
    bits: wholeNumber(values.bits, 'bits', 2048, 4096),
    curve: oneOf(values.curve, 'curve', {
      ...{ 'p-256': 'P-256', 'p-384': 'P-384', 'p-521': 'P-521' },
      ...{ p256: 'P-256', p384: 'P-384', p521: 'P-521' },
    }),
    hash: oneOf(values.hash, 'hash', {
      ...{ sha256: 'SHA-256', sha384: 'SHA-384', sha512: 'SHA-512' },
      ...{ 'sha-256': 'SHA-256', 'sha-384': 'SHA-384', 'sha-512': 'SHA-512' },
    }),
    days: wholeNumber(values.days, 'days', 1, 36_500),
  } as const
}
