/**
 * Resolves at the first SIGINT, SIGTERM or SIGHUP. From then on a second one ends the process at once: the
 * operator has seen the drain and does not want to wait for it.
 */
export function untilSignalled(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    const onSignal = (signal: NodeJS.Signals) => {
      for (const name of SIGNALS) {
        process.off(name, onSignal)
        process.on(name, () => process.exit(1))
      }
      resolve(signal)
    }
    for (const name of SIGNALS) process.on(name, onSignal)
  })
}

/** SIGHUP: the terminal was closed. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
