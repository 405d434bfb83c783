// `authenticate` ends the process. It proves that the measurement sees a death.
export default function deadlyHook() {
  return { authenticate: () => process.exit(7) }
}
