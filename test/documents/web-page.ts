import { runInNewContext } from 'node:vm'
import mqtt from 'mqtt'
import { expect, onTestFinished, vi } from 'vitest'
import { patience } from '../support/reader'

/** Opens the page with the lamps as a browser would, and presses a button. */
export async function expectLamps(port: number): Promise<void> {
  const host = `127.0.0.1:${port}`
  const html = await (await fetch(`http://${host}/`)).text()
  expect(await (await fetch(`http://${host}/mqtt.js`)).text()).toContain('mqtt')
  const buttons = new Map(
    [...html.matchAll(/<button id="([^"]+)">([^<]+)/g)].map(([, id, textContent]) => [
      id!,
      { textContent, onclick: () => undefined },
    ]),
  )
  const script = /<script>([\s\S]+?)<\/script>/.exec(html)![1]!
  const browser = {
    location: { protocol: 'http:', host },
    document: { getElementById: (id: string) => buttons.get(id) },
    mqtt: {
      connect(url: string) {
        // browsers send the page's origin
        const client = mqtt.connect(url, { wsOptions: { headers: { origin: `http://${host}` } } })
        onTestFinished(() => client.endAsync(true))
        return client
      },
    },
  }
  runInNewContext(script, browser)
  const lamp = buttons.get('lamp/1')!
  await vi.waitFor(() => expect(lamp.textContent).toBe('lamp/1 is off'), patience)
  lamp.onclick()
  await vi.waitFor(() => expect(lamp.textContent).toBe('lamp/1 is on'), patience)
}
