import type { Position } from '../core/position.ts'
import type { Frame } from './frame.ts'
import { toPingFrame } from './protocol.ts'

/** An app's pings: clients that are at the same position, as nearly all are, are sent the same one. */
export class Pings {
  #last: { readonly position: Position | undefined; readonly frame: Frame } | undefined

  /** The ping of whoever has everything up to the position. */
  at(position: Position | undefined): Frame {
    const isSame = this.#last?.position?.offset === position?.offset && this.#last?.position?.epoch === position?.epoch
    if (this.#last === undefined || !isSame) this.#last = { position, frame: toPingFrame(position) }
    return this.#last.frame
  }
}
