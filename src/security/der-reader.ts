/** One element of DER, or of BER with indefinite lengths, as some tools write their PFX. */
export interface DerElement {
  /** The identifier octet; tags above 30 are not read. */
  readonly tag: number
  /** The content octets. */
  readonly content: Uint8Array
  /** Tag, length and content. */
  readonly bytes: Uint8Array
}

interface Read {
  element: DerElement
  next: number
}

const constructed = 0x20
const maximumDepth = 32

/** The element at the beginning of `bytes`. Throws RangeError. */
export function readDer(bytes: Uint8Array): DerElement {
  return readAt(bytes, 0, 0).element
}

/** The elements inside a constructed element. Throws RangeError. */
export function childrenOf(element: DerElement): DerElement[] {
  if ((element.tag & constructed) === 0) throw new RangeError('an element that holds no others')
  const children: DerElement[] = []
  for (let at = 0; at < element.content.length; ) {
    const { element: child, next } = readAt(element.content, at, 0)
    children.push(child)
    at = next
  }
  return children
}

/** The octets of an OCTET STRING, implicitly tagged or not, in one piece or several. */
export function octetsOf(element: DerElement): Uint8Array {
  if ((element.tag & constructed) === 0) return element.content
  return Buffer.concat(childrenOf(element).map(octetsOf))
}

/** A small positive INTEGER. */
export function integerOf(element: DerElement): number {
  if (element.tag !== 0x02 || element.content.length === 0 || element.content.length > 6) {
    throw new RangeError('a small INTEGER was expected')
  }
  return Buffer.from(element.content).readUIntBE(0, element.content.length)
}

/** An OBJECT IDENTIFIER in its dotted form. */
export function objectIdentifierOf(element: DerElement): string {
  if (element.tag !== 0x06 || element.content.length === 0) throw new RangeError('an OBJECT IDENTIFIER was expected')
  const arcs: number[] = []
  let arc = 0
  for (const octet of element.content) {
    arc = arc * 128 + (octet & 0x7f)
    if (octet < 0x80) {
      arcs.push(arc)
      arc = 0
    }
  }
  const first = Math.min(Math.floor(arcs[0]! / 40), 2)
  return [first, arcs[0]! - first * 40, ...arcs.slice(1)].join('.')
}

function readAt(bytes: Uint8Array, at: number, depth: number): Read {
  if (depth > maximumDepth) throw new RangeError('elements nested too deeply')
  if (at + 2 > bytes.length) throw new RangeError('the bytes end inside an element')
  const tag = bytes[at]!
  if ((tag & 0x1f) === 0x1f) throw new RangeError('a tag above 30')
  const first = bytes[at + 1]!
  if (first === 0x80) return readIndefinite(bytes, at, depth)
  let start = at + 2
  let length = first
  if (first > 0x80) {
    const octets = first & 0x7f
    if (octets > 4 || start + octets > bytes.length) throw new RangeError('a length that is too long')
    length = 0
    for (let i = 0; i < octets; i++) length = length * 256 + bytes[start++]!
  }
  const end = start + length
  if (end > bytes.length) throw new RangeError('the bytes end inside an element')
  return { element: { tag, content: bytes.subarray(start, end), bytes: bytes.subarray(at, end) }, next: end }
}

/** X.690 8.1.3.6: elements up to two zero octets. */
function readIndefinite(bytes: Uint8Array, at: number, depth: number): Read {
  const tag = bytes[at]!
  if ((tag & constructed) === 0) throw new RangeError('an indefinite length in a primitive element')
  const start = at + 2
  let end = start
  while (end + 2 > bytes.length || bytes[end] !== 0 || bytes[end + 1] !== 0) {
    end = readAt(bytes, end, depth + 1).next
  }
  return { element: { tag, content: bytes.subarray(start, end), bytes: bytes.subarray(at, end + 2) }, next: end + 2 }
}
