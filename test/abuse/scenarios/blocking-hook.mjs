// `authorizePublish` computes for some milliseconds: the argument. It proves that the measurement sees a gap. The time has to
// pass on the clock and as CPU time: other threads' CPU time counts too, and a thread without a core computes nothing.
export default function blockingHook({ argument }) {
  return {
    authorizePublish: () => {
      const start = process.cpuUsage()
      const begun = performance.now()
      for (let ms = 0; ms < argument; ) {
        const { user, system } = process.cpuUsage(start)
        ms = Math.min((user + system) / 1000, performance.now() - begun)
      }
      return true
    },
  }
}
