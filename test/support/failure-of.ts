/** What `work` throws; undefined when it throws nothing. */
export function failureOf(work: () => unknown): unknown {
  try {
    work()
    return undefined
  } catch (error) {
    return error
  }
}
