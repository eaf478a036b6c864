/** Resolves after the time, or when the signal aborts. */
export function delay(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', end)
      resolve()
    }
    const timer = setTimeout(end, ms)
    if (signal.aborted) end()
    else signal.addEventListener('abort', end, { once: true })
  })
}

/** Runs `work` until it settles, the time is over or `closing` aborts, even if it does not heed the signal. */
export async function withDeadline<Result>(
  closing: AbortSignal,
  timeoutMs: number,
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const signal = AbortSignal.any([closing, AbortSignal.timeout(timeoutMs)])
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(new Error('not in time')), { once: true })
  })
  return Promise.race([work(signal), aborted])
}
