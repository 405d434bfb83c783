import { createHash, randomUUID, webcrypto } from 'node:crypto'
import type { SafeBag } from 'pkijs'
import { loadPkijs } from './certificate-packages'
import { DerTag, der, derObjectIdentifier } from './der'
import { checkPassphrase, keyDerivationRounds, type PrivateKey } from './private-key'

export interface PfxContent {
  /** The certificate that the key belongs to, DER. */
  certificate: Uint8Array
  key: PrivateKey
  /** Its issuers, DER. */
  chain: readonly Uint8Array[]
  /** What Windows shows beside the certificate. */
  friendlyName: string
}

type Pkijs = Awaited<ReturnType<typeof loadPkijs>>

const bagType = { key: '1.2.840.113549.1.12.10.1.2', certificate: '1.2.840.113549.1.12.10.1.3' } as const

/**
 * A PKCS#12 file: AES-256-CBC with PBKDF2 and HMAC SHA-256 for its two safes, HMAC SHA-256 over the whole (RFC 7292).
 * Rejects with GNATMQ_OPTION_INVALID for an empty password and GNATMQ_DEPENDENCY_MISSING without pkijs.
 */
export async function writePfx(content: PfxContent, passphrase: string): Promise<Uint8Array> {
  checkPassphrase(passphrase)
  const pkijs = await loadPkijs()
  const crypto = new pkijs.CryptoEngine({ name: `gnatmq-${randomUUID()}`, crypto: webcrypto })
  const password = new TextEncoder().encode(passphrase).buffer
  const keySafe = new pkijs.SafeContents({ safeBags: [keyBag(pkijs, content, passphrase)] })
  const certificateSafe = new pkijs.SafeContents({ safeBags: certificateBags(pkijs, content) })
  const authenticatedSafe = new pkijs.AuthenticatedSafe({
    parsedValue: {
      safeContents: [
        { privacyMode: 0, value: keySafe },
        { privacyMode: 1, value: certificateSafe },
      ],
    },
  })
  await authenticatedSafe.makeInternalValues(
    {
      safeContents: [
        {},
        {
          password,
          contentEncryptionAlgorithm: { name: 'AES-CBC', length: 256 },
          hmacHashAlgorithm: 'SHA-256',
          iterationCount: keyDerivationRounds,
        },
      ],
    },
    crypto,
  )
  const pfx = new pkijs.PFX({ parsedValue: { integrityMode: 0, authenticatedSafe } })
  // The mark over the whole would otherwise be the cheap way to try passwords.
  await pfx.makeInternalValues(
    { password, iterations: keyDerivationRounds, pbkdf2HashAlgorithm: 'SHA-256', hmacHashAlgorithm: 'SHA-256' },
    crypto,
  )
  return new Uint8Array(pfx.toSchema().toBER(false))
}

function keyBag(pkijs: Pkijs, content: PfxContent, passphrase: string): SafeBag {
  return new pkijs.SafeBag({
    bagId: bagType.key,
    bagValue: pkijs.PKCS8ShroudedKeyBag.fromBER(content.key.encryptedDer(passphrase)),
    bagAttributes: ownAttributes(pkijs, content),
  })
}

function certificateBags(pkijs: Pkijs, content: PfxContent): SafeBag[] {
  return [content.certificate, ...content.chain].map(
    (certificate, index) =>
      new pkijs.SafeBag({
        bagId: bagType.certificate,
        bagValue: new pkijs.CertBag({ parsedValue: pkijs.Certificate.fromBER(certificate) }),
        ...(index === 0 ? { bagAttributes: ownAttributes(pkijs, content) } : {}),
      }),
  )
}

/** localKeyId ties the certificate to its key: Windows finds the key by it. */
function ownAttributes(pkijs: Pkijs, content: PfxContent) {
  const localKeyId = createHash('sha1').update(content.certificate).digest()
  const bmp = Buffer.from(content.friendlyName, 'utf16le').swap16()
  return [
    attribute('1.2.840.113549.1.9.21', der(DerTag.OctetString, localKeyId)),
    attribute('1.2.840.113549.1.9.20', der(DerTag.BmpString, bmp)),
  ].map((bytes) => pkijs.Attribute.fromBER(bytes))
}

const attribute = (type: string, value: Uint8Array): Uint8Array =>
  der(DerTag.Sequence, derObjectIdentifier(type), der(DerTag.Set, value))
