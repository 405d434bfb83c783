import { addressKey } from '../../ports/remote-address'
import { MqttError } from '../../protocol/mqtt-error'

/** A peer without an accepted CONNECT, between its neighbours of the same address. */
class HalfOpenPeer {
  before: HalfOpenPeer | null = null
  after: HalfOpenPeer | null = null

  constructor(
    readonly token: object,
    readonly address: Address,
    readonly places: number,
    readonly drop: (error: MqttError) => void,
  ) {}
}

/** The peers of one address, the oldest first, between the neighbours that take as many places as it does. */
class Address {
  oldest: HalfOpenPeer | null = null
  newest: HalfOpenPeer | null = null
  places = 0
  before: Address | null = null
  after: Address | null = null

  constructor(readonly key: string) {}
}

/** Addresses that take the same number of places, the one that came to it first at the head. */
interface Level {
  first: Address | null
  last: Address | null
}

/** What bounds the peers without an accepted CONNECT, in places. */
export interface HalfOpenLimits {
  readonly maximumHalfOpenConnections: number
  readonly maximumHalfOpenConnectionsPerAddress: number
}

/**
 * The peers that have not had their CONNACK: those that wait to be let in, those in a handshake, those that say nothing, and
 * those that are authenticated just now. Where all places are taken, the oldest peer of the address with the most of them gives way,
 * and where those of one address are, its own oldest: a flood pushes out itself, and does not shut its address out.
 */
export class HalfOpen {
  private readonly limits: HalfOpenLimits
  private readonly peers = new Map<object, HalfOpenPeer>()
  private readonly addresses = new Map<string, Address>()
  /** By the places that an address takes. */
  private readonly levels: (Level | undefined)[] = []
  private places = 0
  /** The most places that an address takes. */
  private most = 0

  constructor(limits: HalfOpenLimits) {
    this.limits = limits
  }

  /** Peers that are counted: those that have an address. */
  get size(): number {
    return this.peers.size
  }

  /**
   * Counts a peer until `leave(token)`, as so many places: a handshake costs more memory than a peer that only waits. `drop` is called
   * when the peer has to give way; at once, and the peer is not counted, where it needs more places than there are. False if it was dropped.
   */
  enter(token: object, remoteAddress: string | undefined, drop: (error: MqttError) => void, places = 1): boolean {
    const key = addressKey(remoteAddress)
    if (key === undefined) return true
    const { maximumHalfOpenConnections, maximumHalfOpenConnectionsPerAddress } = this.limits
    const isPossible = places <= Math.min(maximumHalfOpenConnections, maximumHalfOpenConnectionsPerAddress)
    while (isPossible && this.placesOf(key) + places > maximumHalfOpenConnectionsPerAddress) this.displace(key)
    while (!isPossible || this.places + places > maximumHalfOpenConnections) {
      const giver = isPossible ? this.giver(key, places) : undefined
      if (giver === undefined) {
        drop(busy(`there are ${this.places} connections without an accepted CONNECT, and more are not allowed`))
        return false
      }
      this.displace(giver)
    }
    const peer = new HalfOpenPeer(token, this.addressOf(key), places, drop)
    this.peers.set(token, peer)
    this.count(peer)
    return true
  }

  /** The peer has had its CONNACK, goes on to the next step, or has gone. Harmless for one that is not counted. */
  leave(token: object): void {
    const peer = this.peers.get(token)
    if (peer === undefined) return
    this.peers.delete(token)
    this.discount(peer)
  }

  private placesOf(key: string): number {
    return this.addresses.get(key)?.places ?? 0
  }

  /**
   * The address that gives places up for a peer of `key`: the one with the most, or `key` itself where it would have as many. Where none has
   * more than one, the one that came first. undefined if there is no such address.
   */
  private giver(key: string, places: number): string | undefined {
    const own = this.placesOf(key)
    if (own > 0 && own + places >= this.most) return key
    if (own + places > 1 && own + places >= this.most) return undefined
    return this.levels[this.most]!.first!.key
  }

  /** Drops the oldest peer of an address that has one. */
  private displace(key: string): void {
    const { drop, token } = this.addresses.get(key)!.oldest!
    this.leave(token)
    drop(busy('the connection had no accepted CONNECT, and gave way to a newer one'))
  }

  private addressOf(key: string): Address {
    let address = this.addresses.get(key)
    if (address === undefined) {
      address = new Address(key)
      this.addresses.set(key, address)
    }
    return address
  }

  private count(peer: HalfOpenPeer): void {
    const { address, places } = peer
    peer.before = address.newest
    if (address.newest === null) address.oldest = peer
    else address.newest.after = peer
    address.newest = peer
    this.places += places
    this.move(address, address.places + places)
  }

  private discount({ address, after, before, places }: HalfOpenPeer): void {
    if (before === null) address.oldest = after
    else before.after = after
    if (after === null) address.newest = before
    else after.before = before
    this.places -= places
    this.move(address, address.places - places)
    if (address.places === 0) this.addresses.delete(address.key)
  }

  /** Keeps `levels` and `most` as the addresses are. */
  private move(address: Address, places: number): void {
    if (address.places > 0) this.leaveLevel(address)
    address.places = places
    if (places > 0) this.enterLevel(address)
    if (places > this.most) this.most = places
    // no more steps than the peer had places: its address is still there, or had no others
    while (this.most > 0 && !this.levels[this.most]?.first) this.most--
  }

  private leaveLevel(address: Address): void {
    const { after, before } = address
    const level = this.levels[address.places]!
    if (before === null) level.first = after
    else before.after = after
    if (after === null) level.last = before
    else after.before = before
  }

  private enterLevel(address: Address): void {
    const { levels } = this
    for (let next = levels.length; next <= address.places; next++) levels.push(undefined)
    const level = (levels[address.places] ??= { first: null, last: null })
    address.before = level.last
    address.after = null
    if (level.last === null) level.first = address
    else level.last.after = address
    level.last = address
  }
}

const busy = (text: string): MqttError => new MqttError('GNATMQ_SERVER_BUSY', text)
