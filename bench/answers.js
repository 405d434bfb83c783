/**
 * The child's side of `Child`: answers what the parent asks over the channel, with the method of that name. Ends when
 * the parent ends.
 */
export function answer(methods) {
  process.on('message', async ({ id, method, argument }) => {
    try {
      process.send({ id, result: await methods[method](argument) })
    } catch (error) {
      process.send({ id, error: error.message })
    }
  })
  process.on('disconnect', () => process.exit())
  process.send({ ready: true })
}

/** What a broker in Node says of itself. */
export function ownUsage() {
  const { user, system } = process.cpuUsage()
  return { cpuMicros: user + system, rssBytes: process.memoryUsage.rss() }
}
