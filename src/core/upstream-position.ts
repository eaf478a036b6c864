/**
 * Where in a network's own event sequence something was reported: `generation` is ours, one per
 * subscription and growing; `sequence` is the network's, per subscription
 * (XSI `sequenceNumber`: 1..2147483647, then 1 again).
 */
export type UpstreamPosition = {
  readonly generation: number
  readonly sequence: number
}

const SEQUENCE_MODULUS = 2_147_483_647

/**
 * Orders two positions: negative when `a` is earlier, 0 when equal, positive when later.
 * Within one generation the comparison is circular, so that 1 follows 2147483647.
 */
export function compareUpstream(a: UpstreamPosition, b: UpstreamPosition): number {
  if (a.generation !== b.generation) return a.generation - b.generation
  if (a.sequence === b.sequence) return 0
  const ahead = (a.sequence - b.sequence + SEQUENCE_MODULUS) % SEQUENCE_MODULUS
  return ahead < SEQUENCE_MODULUS / 2 ? ahead : ahead - SEQUENCE_MODULUS
}
