/** Names that are sorted at a time. */
const PIECE = 1024

/** Names that come in any order and leave in theirs, each once, with no step that takes long. */
export class OrderedNames {
  /** Sorted lists; the one whose next name comes first is the last of them. */
  private readonly pieces: string[][] = []
  private open: string[] = []
  private readonly limit: number
  /** No name behind this one is wanted. */
  private bound: string | undefined = undefined

  /** At the most `limit` names are wanted: the first. */
  constructor(limit: number) {
    this.limit = limit
  }

  /** Units of effort of the next `add`. */
  get effort(): number {
    return this.open.length === PIECE - 1 ? PIECE : 1
  }

  add(name: string): void {
    if (this.bound !== undefined && name > this.bound) return
    if (this.open.push(name) === PIECE) this.sort()
  }

  private sort(): void {
    const first = this.limit <= PIECE ? this.pieces.pop() : undefined
    const piece = (first === undefined ? this.open : first.concat(this.open)).sort()
    this.open = []
    if (this.limit <= PIECE) {
      piece.length = Math.min(piece.length, this.limit)
      if (piece.length === this.limit) this.bound = piece[piece.length - 1]
    }
    this.pieces.push(piece)
  }

  /** Every name from the first to the last. Nothing may be added any more. */
  *inOrder(): Generator<string> {
    if (this.open.length > 0) this.sort()
    const { pieces } = this
    for (const piece of pieces) piece.reverse()
    pieces.sort((a, b) => (next(a) < next(b) ? 1 : -1))
    let before: string | undefined
    for (let piece = pieces.pop(); piece !== undefined; piece = pieces.pop()) {
      const name = piece.pop()!
      if (name !== before) yield name
      before = name
      if (piece.length > 0) pieces.splice(place(pieces, next(piece)), 0, piece)
    }
  }
}

const next = (piece: readonly string[]): string => piece[piece.length - 1]!

/** Where a piece belongs whose next name is this one. */
function place(pieces: readonly string[][], name: string): number {
  let low = 0
  let high = pieces.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (next(pieces[middle]!) > name) low = middle + 1
    else high = middle
  }
  return low
}
