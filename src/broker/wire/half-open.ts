import { addressKey } from '../../ports/remote-address'
import { MqttError } from '../../protocol/mqtt-error'

/** A peer without an accepted CONNECT. */
interface HalfOpenPeer {
  readonly token: object
  readonly key: string
  readonly places: number
  readonly drop: (error: MqttError) => void
}

/** The peers of one address, the oldest first, and how many places they take. */
interface Address {
  readonly peers: Set<HalfOpenPeer>
  places: number
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
  /** Keys of addresses by the places that they take. */
  private readonly byPlaces = new Map<number, Set<string>>()
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
    const peer: HalfOpenPeer = { token, key, places, drop }
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
    const [largest] = this.byPlaces.get(this.most)!
    return largest
  }

  /** Drops the oldest peer of an address that has one. */
  private displace(key: string): void {
    const [oldest] = this.addresses.get(key)!.peers
    this.leave(oldest!.token)
    oldest!.drop(busy('the connection had no accepted CONNECT, and gave way to a newer one'))
  }

  private count(peer: HalfOpenPeer): void {
    let address = this.addresses.get(peer.key)
    if (address === undefined) {
      address = { peers: new Set(), places: 0 }
      this.addresses.set(peer.key, address)
    }
    address.peers.add(peer)
    this.places += peer.places
    this.move(peer.key, address, address.places + peer.places)
  }

  private discount(peer: HalfOpenPeer): void {
    const address = this.addresses.get(peer.key)!
    address.peers.delete(peer)
    this.places -= peer.places
    this.move(peer.key, address, address.places - peer.places)
    if (address.places === 0) this.addresses.delete(peer.key)
  }

  /** Keeps `byPlaces` and `most` as the addresses are. */
  private move(key: string, address: Address, places: number): void {
    const { byPlaces } = this
    const former = byPlaces.get(address.places)
    former?.delete(key)
    if (former?.size === 0) byPlaces.delete(address.places)
    address.places = places
    if (places > 0) {
      const level = byPlaces.get(places)
      if (level === undefined) byPlaces.set(places, new Set([key]))
      else level.add(key)
    }
    this.most = Math.max(this.most, places)
    // no more steps than the peer had places: its address is still there, or had no others
    while (this.most > 0 && !byPlaces.has(this.most)) this.most--
  }
}

const busy = (text: string): MqttError => new MqttError('GNATMQ_SERVER_BUSY', text)
