// `authorizePublish` computes for some milliseconds: the argument. It proves that the measurement sees a gap.
export default function blockingHook({ argument }) {
  return {
    authorizePublish: () => {
      for (const end = performance.now() + argument; performance.now() < end; );
      return true
    },
  }
}
