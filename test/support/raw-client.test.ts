import { describe, expect, it } from 'vitest'
import { SimulatedClock } from '../../src/testing/simulated-clock'
import { connectClient, openClient, startBroker, withBroker } from './broker'

describe('the raw client', () => {
  it.each([3, 4, 5] as const)('completes QoS 0, 1 and 2 in protocol level %i', async (protocolVersion) => {
    const broker = await startBroker()
    const subscriber = await connectClient(broker, { protocolVersion })
    const publisher = await connectClient(broker, { protocolVersion })
    expect((await subscriber.subscribe('a/#', 2)).granted).toEqual([2])
    expect(await publisher.publish('a/0', 'zero')).toBeUndefined()
    expect(await publisher.publish('a/1', 'one', { qos: 1 })).toMatchObject({ cmd: 'puback' })
    expect(await publisher.publish('a/2', 'two', { qos: 2 })).toMatchObject({ cmd: 'pubcomp' })
    expect(await subscriber.nextMessage()).toMatchObject({ topic: 'a/0', text: 'zero', qos: 0 })
    for (const [topic, qos] of [
      ['a/1', 1],
      ['a/2', 2],
    ] as const) {
      const message = await subscriber.nextMessage()
      expect(message).toMatchObject({ topic, qos })
      await subscriber.acknowledge(message.packet)
    }
    expect(await subscriber.quiet()).toEqual([])
    await subscriber.unsubscribe('a/#')
    await subscriber.disconnect()
  })

  it('acknowledges by itself when told to', async () => {
    const broker = await startBroker()
    const client = await connectClient(broker)
    client.autoAcknowledge = true
    await client.subscribe('a', 2)
    await client.publish('a', 'x', { qos: 2 })
    await client.next('publish')
    await client.quiet()
    expect(client.received.map(({ cmd }) => cmd)).toContain('pubrel')
    expect(await client.quiet()).toEqual([])
  })

  it('says what arrived instead of what it waited for', async () => {
    await withBroker({}, async (broker) => {
      const client = await openClient(broker)
      client.sendBytes('ff 00')
      await client.closed()
      await expect(client.next('connack')).rejects.toThrow(
        'the connection closed instead of connack; received:\n  nothing',
      )
    })
  })
})

describe('the simulated clock', () => {
  it('calls what falls due, in order, each at its moment', () => {
    const clock = new SimulatedClock()
    const calls: string[] = []
    clock.after(20, () => calls.push(`once at ${clock.now()}`))
    const stop = clock.every(15, () => calls.push(`tick at ${clock.now()}`))
    clock.after(30, () => clock.after(5, () => calls.push(`nested at ${clock.now()}`)))
    clock.after(10, () => calls.push('never'))()
    clock.advance(40)
    stop()
    clock.advance(100)
    expect(calls).toEqual(['tick at 15', 'once at 20', 'tick at 30', 'nested at 35'])
    expect(clock.now()).toBe(140)
    expect(clock.wallTime() - new SimulatedClock().wallTime()).toBe(140)
    expect(clock.pending).toBe(0)
  })
})
