/** Bytes after a collection of garbage: of the process, and of its objects and buffers. */
export type Memory = { readonly rss: number; readonly live: number }

/** What servers of a bench tell of their processes. */
export const processFigures = {
  /** Microseconds of processor time so far. */
  usage(): number {
    const { user, system } = process.cpuUsage()
    return user + system
  },
  /** The process runs with `--expose-gc`. */
  async memory(): Promise<Memory> {
    for (let round = 0; round < 3; round += 1) {
      globalThis.gc?.()
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    const { rss, heapUsed, external } = process.memoryUsage()
    return { rss, live: heapUsed + external }
  },
}
