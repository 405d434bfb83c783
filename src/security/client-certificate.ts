import { X509Certificate } from 'node:crypto'
import type { SecureContext, TLSSocket } from 'node:tls'
import { causeText, disregard, isPromise } from '../ports/given-values'
import type { CheckServerIdentity, DetailedPeerCertificate, SniCallback } from '../ports/tls'
import { MqttError } from '../protocol/mqtt-error'

/** By what client certificates are judged. */
export interface ClientCertificateRules {
  /** Whether a client without a certificate is refused. */
  required: boolean
  checkServerIdentity: CheckServerIdentity | undefined
  /** The CAs that a client's chain must end in, where a context of SNICallback may bring others. */
  anchors: readonly X509Certificate[] | undefined
}

/** What OpenSSL's words mean for the operator of the broker. */
const meanings: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'it has expired',
  CERT_NOT_YET_VALID: 'it is not yet valid',
  CERT_REVOKED: 'it is on the revocation list',
  UNABLE_TO_GET_CRL: 'its CA has no revocation list in crl: give one for every CA',
  CRL_HAS_EXPIRED: 'the revocation list has expired: give the current one as crl',
  CERT_UNTRUSTED: 'no CA in ca has signed it; with SNICallback, put the intermediate CAs of the clients into ca, too',
  INVALID_PURPOSE: 'it was not made for client authentication',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'it is self-signed and not in ca',
  SELF_SIGNED_CERT_IN_CHAIN: 'its root is not in ca',
  UNABLE_TO_GET_ISSUER_CERT: 'its CA is not in ca',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'its CA is not in ca',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its CA is not in ca, or the client does not send its intermediate certificates',
}

/** Judges a peer after its handshake: the reason why it is refused, or undefined. */
export function judgeClient(socket: TLSSocket, rules: ClientCertificateRules): MqttError | undefined {
  const certificate: DetailedPeerCertificate | null = socket.getPeerCertificate(true)
  // Node gives an empty object for a peer without a certificate, and null for one that is gone.
  if (certificate?.raw === undefined) {
    if (!rules.required) return undefined
    return refused('the client sent no certificate: give it one that a CA of the broker has signed')
  }
  // A resumed session brings the judgement of its first handshake with it, from before any revocation.
  if (socket.isSessionReused()) return refused('the client resumed a session instead of proving its certificate')
  const chainError = chainErrorOf(socket, certificate, rules.anchors)
  if (rules.checkServerIdentity !== undefined) {
    return hookAnswer(rules.checkServerIdentity, socket, certificate, chainError)
  }
  if (chainError === undefined) return undefined
  const meaning = meanings[chainError.message]
  return refused(
    `the certificate of the client (${nameOf(certificate)}) is refused: ${chainError.message}${meaning ? `, ${meaning}` : ''}`,
    chainError,
  )
}

function chainErrorOf(
  socket: TLSSocket,
  certificate: DetailedPeerCertificate,
  anchors: ClientCertificateRules['anchors'],
): Error | undefined {
  if (!socket.authorized) {
    // Typed as an Error, but OpenSSL's code as a string in fact.
    const error: unknown = socket.authorizationError
    return error instanceof Error ? error : new Error(error ? String(error) : 'UNABLE_TO_VERIFY_LEAF_SIGNATURE')
  }
  if (anchors === undefined || isAnchored(certificate, anchors)) return undefined
  return new Error('CERT_UNTRUSTED')
}

/**
 * Whether the chain, link by link, ends in one of the CAs. Some versions of Node (24.21, 26.8) show a server nothing of
 * the chain but the client's own certificate: there, a CA must have signed that itself.
 */
function isAnchored(leaf: DetailedPeerCertificate, anchors: readonly X509Certificate[]): boolean {
  let last = new X509Certificate(leaf.raw)
  for (let at = leaf; ; at = at.issuerCertificate) {
    if (anchors.some((anchor) => anchor.fingerprint256 === last.fingerprint256 || isIssuedBy(last, anchor))) return true
    const above = at.issuerCertificate
    // Node lets the issuer of a root be the root itself.
    if (above?.raw === undefined || above.fingerprint256 === at.fingerprint256) return false
    const issuer = new X509Certificate(above.raw)
    if (!issuer.ca || !isIssuedBy(last, issuer)) return false
    last = issuer
  }
}

const isIssuedBy = (certificate: X509Certificate, issuer: X509Certificate): boolean =>
  certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey)

function hookAnswer(
  hook: CheckServerIdentity,
  socket: TLSSocket,
  certificate: DetailedPeerCertificate,
  chainError: Error | undefined,
): MqttError | undefined {
  const name = nameOf(certificate)
  let answer: unknown
  try {
    const verification = { authorized: chainError === undefined, authorizationError: chainError }
    answer = hook(socket.servername || '', certificate, verification)
  } catch (cause) {
    return refused(`checkServerIdentity threw for the certificate of the client (${name}): ${causeText(cause)}`, cause)
  }
  if (answer === undefined) return undefined
  if (answer instanceof Error) {
    return refused(`checkServerIdentity refuses the certificate of the client (${name}): ${answer.message}`, answer)
  }
  disregard(answer)
  return refused(
    `checkServerIdentity answered for the client (${name}) with something that is neither undefined nor an Error: ` +
      'like that of Node it answers at once, undefined to accept and an Error to refuse',
  )
}

/** The part of Node's secure context that takes further CAs; it has no types. */
interface NativeContext {
  addCACert?: (pem: string) => void
  addCRL?: (pem: string) => void
}

/**
 * Node checks a client's chain against the CAs of the context that SNICallback answers with, which are the public ones
 * unless the user thinks of it. So the broker's CAs and revocation lists are put into every such context.
 */
export function withAuthorities(
  sniCallback: SniCallback,
  authorities: readonly string[],
  revocationLists: readonly string[],
): SniCallback {
  const done = new WeakSet<SecureContext>()
  return (servername, answer) =>
    sniCallback(servername, (error, context) => {
      if (error || !context || done.has(context)) return answer(error, context)
      const native: NativeContext = context.context ?? {}
      if (typeof native.addCACert !== 'function' || typeof native.addCRL !== 'function') {
        return answer(new Error('SNICallback answered with something that is no secure context'))
      }
      try {
        for (const pem of authorities) native.addCACert(pem)
        for (const pem of revocationLists) native.addCRL(pem)
      } catch (cause) {
        return answer(cause as Error)
      }
      done.add(context)
      answer(null, context)
    })
}

/** A throw or a rejection of the user's SNICallback refuses the one client, and does not end the process. */
export function guarded(sniCallback: SniCallback): SniCallback {
  return (servername, answer) => {
    let answered = false
    // Node destroys the connection of one that is answered for twice
    const once: typeof answer = (...given) => {
      if (answered) return
      answered = true
      answer(...given)
    }
    const fail = (cause: unknown): void => once(cause instanceof Error ? cause : new Error(causeText(cause)))
    try {
      const result: unknown = sniCallback(servername, once)
      if (isPromise(result)) result.then(undefined, fail)
    } catch (cause) {
      fail(cause)
    }
  }
}

const nameOf = (certificate: DetailedPeerCertificate): string =>
  `CN=${String(certificate.subject?.CN ?? '')}, serial number ${certificate.serialNumber}`

const refused = (message: string, cause?: unknown): MqttError =>
  new MqttError('GNATMQ_CERTIFICATE_REFUSED', message, { cause })
