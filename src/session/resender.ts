import { AckByte, writeAck } from '../protocol/acknowledgement'
import type { Output } from '../protocol/output'
import { type Inflight, InflightState } from './inflight'
import { abandonExpired, send } from './sender'
import type { Session } from './session'

/**
 * A connection resumes a session: everything unacknowledged is sent again, in its order and under its own identifiers
 * [MQTT-4.4.0-1], but no more at a time than the client's Receive Maximum of today [MQTT-4.9.0-1].
 */
export function resend(session: Session, now: number): void {
  const { inflight, output } = session
  if (inflight === null || output === null) return
  endWithdrawn(inflight, output)
  const entries = inflight.inOrder()
  session.toResend = entries.filter(({ state }) => isSent(state)).map(({ identifier }) => identifier)
  for (const { identifier, state } of entries) {
    // a PUBREL is sent again whatever the window: it makes room
    if (state === InflightState.Pubcomp) writeAck(output, AckByte.Pubrel, identifier, 0)
    else if (identifier === session.toResend?.[0]) resendMore(session, now, identifier)
  }
}

/** Of what was taken away from the client QoS 2 comes to its end, so that it knows of the identifier no more. */
function endWithdrawn(inflight: Inflight, output: Output): void {
  for (const identifier of inflight.withdrawn()) {
    if (inflight.state(identifier) === InflightState.Puback) inflight.remove(identifier)
    else {
      inflight.advance(identifier, InflightState.Pubcomp)
      writeAck(output, AckByte.Pubrel, identifier, 0)
    }
  }
}

/** Sends again what the window allows, up to the identifier `last`, if one is given. */
export function resendMore(session: Session, now: number, last?: number): void {
  const { inflight, output, toResend } = session
  if (toResend === null || inflight === null || output === null) return
  while (toResend.length > 0 && inflight.count - toResend.length < session.window) {
    const identifier = toResend.shift()!
    // it may be acknowledged by now, from the former connection
    if (!isSent(inflight.state(identifier))) continue
    const delivery = inflight.delivery(identifier)
    if (delivery !== null && !abandonExpired(session, identifier, delivery, now))
      send(session, output, delivery, identifier, now)
    if (identifier === last) break
  }
  if (toResend.length === 0) session.toResend = null
}

function isSent(state: number): boolean {
  return state === InflightState.Puback || state === InflightState.Pubrec
}
