/**
 * Candidates for the epoch of a log: the time in microseconds with random last digits, so that two
 * servers that both believe they are the master never start the same epoch. The script uses one only
 * when it must start an epoch.
 */
export const epochCandidate = (now: number, random: number): string =>
  String(Math.floor(now) * 1000 + Math.floor(random * 1000))

/** Whether a client's position can be of one of our epochs at all. */
export const isEpoch = (text: string): boolean => /^[1-9]\d{0,15}$/.test(text)
