// `authorizePublish` computes for some milliseconds of CPU time: the argument. It proves that the measurement sees a gap.
export default function blockingHook({ argument }) {
  return {
    authorizePublish: () => {
      const start = process.cpuUsage()
      for (let ms = 0; ms < argument; ) {
        const { user, system } = process.cpuUsage(start)
        ms = (user + system) / 1000
      }
      return true
    },
  }
}
