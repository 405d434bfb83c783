import { RawClient } from '../support/raw-client'
import type { History } from './history'
import type { KillableBroker } from './killable-broker'

/** What a client without a session is told of the retained messages below `r/`. The broker may die meanwhile. */
export async function readRetained(broker: KillableBroker, history: History): Promise<void> {
  const reader = `reader ${history.events.length}`
  try {
    const client = await RawClient.open(broker.port)
    history.add({ type: 'reading', reader })
    await client.connect()
    await client.subscribe('r/#', 1)
    const payloads: Record<string, string> = {}
    for (const packet of await client.quiet())
      if (packet.cmd === 'publish' && packet.retain) payloads[packet.topic] = packet.payload.toString()
    client.destroy()
    history.add({ type: 'read', reader, payloads })
  } catch (error) {
    if (broker.isRunning && !/closed|ECONNRE/.test(String(error))) throw error
  }
}
