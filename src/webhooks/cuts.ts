/**
 * What is to be called when a signal aborts, with one listener on each signal however much is under way: a
 * listener of its own for every attempt would cost more than all other bookkeeping of the attempt.
 */
export class Cuts {
  readonly #cuts = new WeakMap<AbortSignal, Set<() => void>>()

  add(signal: AbortSignal, cut: () => void): void {
    const known = this.#cuts.get(signal)
    if (known !== undefined) {
      known.add(cut)
      return
    }
    const cuts = new Set([cut])
    this.#cuts.set(signal, cuts)
    signal.addEventListener('abort', () => cuts.forEach((each) => each()), { once: true })
  }

  remove(signal: AbortSignal, cut: () => void): void {
    this.#cuts.get(signal)?.delete(cut)
  }
}
