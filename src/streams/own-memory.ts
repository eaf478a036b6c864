/**
 * Memory of its own, never a part of Node's shared pool: what is kept for those who resume is kept for
 * long, and one small piece of the pool would keep 64 KiB of it.
 */
export const allocateApart = (bytes: number): Buffer => Buffer.allocUnsafeSlow(bytes)

/** A text as UTF-8. */
export function encodeApart(text: string): Buffer {
  const encoded = allocateApart(Buffer.byteLength(text))
  encoded.write(text)
  return encoded
}

/** The parts one after the other; a single one is itself. */
export function joinApart(parts: readonly Buffer[]): Buffer {
  const [only] = parts
  if (parts.length === 1 && only !== undefined) return only
  const joined = allocateApart(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) at += part.copy(joined, at)
  return joined
}
