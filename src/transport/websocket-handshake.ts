import { createHash } from 'node:crypto'

/** What RFC 6455 section 4.2.2 has a server add to the key of its client. */
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'

/** Whether it is the base64 of 16 bytes (RFC 6455 section 4.2.1). */
export const isKey = (key: string | undefined): boolean => key !== undefined && /^[+/0-9A-Za-z]{22}==$/.test(key)

/** The names that a client offers. Undefined if they are no tokens, or one comes twice (RFC 6455 section 4.1). */
export function offeredProtocols(header = ''): string[] | undefined {
  const names = header === '' ? [] : header.split(',').map((name) => name.trim())
  const areTokens = names.every((name) => /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(name))
  return areTokens && new Set(names).size === names.length ? names : undefined
}

/** The answer that accepts the upgrade, without extensions (RFC 6455 section 4.2.2). */
export function switchingProtocols(key: string, protocol: string): string {
  const accept = createHash('sha1').update(`${key}${GUID}`).digest('base64')
  const fields = `Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n`
  return `HTTP/1.1 101 Switching Protocols\r\n${fields}Sec-WebSocket-Protocol: ${protocol}\r\n\r\n`
}
