import type { Message } from '../../protocol/message'
import { hold } from '../../session/receiver'
import type { Publisher } from '../delivery/publisher'
import type { WideFanout } from '../delivery/wide-fanout'
import type { WideOutcome } from '../delivery/wide-message'
import type { Connection } from '../wire/connection'
import type { ParkedMessages } from './parked-messages'

/** What follows from the outcome: the acknowledgement. */
type Acknowledge = (connection: Connection, message: Message, packetIdentifier: number, outcome: WideOutcome) => void

/** A PUBLISH to so many receivers that others have their turn in between. What its client sends behind it waits. */
export class WidePublish {
  private readonly fanout: WideFanout
  private readonly publisher: Publisher
  private readonly parked: ParkedMessages
  private readonly acknowledge: Acknowledge

  constructor(fanout: WideFanout, publisher: Publisher, parked: ParkedMessages, acknowledge: Acknowledge) {
    this.parked = parked
    this.fanout = fanout
    this.publisher = publisher
    this.acknowledge = acknowledge
  }

  publish(connection: Connection, message: Message, packetIdentifier: number): void {
    const { qos } = message
    const session = connection.session!
    this.parked.check(message)
    const wide = this.fanout.publish({
      message,
      publisher: session,
      isAnswered: qos > 0,
      closes: qos > 0 && connection.version < 5,
      isAtOnce: true,
      // a client that is gone before its turn has come sends QoS 2 again, and that must not come twice
      isWanted: () => qos < 2 || !connection.closing,
      keep: () => {
        if (qos === 2) hold(session, packetIdentifier)
      },
    })
    if (wide.result !== null) {
      this.publisher.announce(message, connection.client!)
      this.acknowledge(connection, message, packetIdentifier, wide.result)
      return
    }
    this.parked.count(message, wide.outcome)
    const announced = wide.outcome.then((outcome) => {
      if (outcome.isPublished) this.publisher.announce(message, connection.client!)
      return outcome
    })
    if (qos > 0) connection.unacknowledged++
    connection.parkUntil(announced, (outcome) => {
      if (qos > 0) connection.unacknowledged--
      this.acknowledge(connection, message, packetIdentifier, outcome)
    })
  }
}
