/** How long after its deadline work that was told to end may still take. */
const GRACE_MS = 1_000

/** Whether `work` ends, well or badly, before the deadline, or shortly after it. */
export async function endsBefore(work: Promise<unknown>, deadline: AbortSignal): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<false>()
  let timer: NodeJS.Timeout | undefined
  const onDeadline = () => {
    timer = setTimeout(() => resolve(false), GRACE_MS)
  }
  if (deadline.aborted) onDeadline()
  deadline.addEventListener('abort', onDeadline, { once: true })
  try {
    const done = work.then(
      () => true,
      () => true,
    )
    return await Promise.race([done, late])
  } finally {
    clearTimeout(timer)
    deadline.removeEventListener('abort', onDeadline)
  }
}
