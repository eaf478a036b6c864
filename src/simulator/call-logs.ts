import type { CallHalf } from './call-half.ts'
import { numberOf } from './parties.ts'

export type CallLogKind = 'placed' | 'received' | 'missed'
export const CALL_LOG_KINDS = ['placed', 'received', 'missed'] as const satisfies readonly CallLogKind[]

export type CallLogEntry = {
  readonly id: string
  readonly number: string
  readonly name: string
  /** Milliseconds since the epoch. */
  readonly time: number
}

const ENTRIES_MAX = 20

/** The Basic Call Logs of every user: the last 20 placed, received and missed calls, newest first. */
export class CallLogs {
  readonly #entries = new Map<string, CallLogEntry[]>()
  #nextId = 1

  /** Records a call that has ended. */
  record(half: CallHalf): void {
    const key = `${half.userId}\n${kindOf(half)}`
    const entries = this.#entries.get(key) ?? []
    const number = numberOf(half.remote)
    entries.unshift({
      id: `${this.#nextId++}:0`,
      number: number === '' ? 'Unavailable' : number,
      name: half.remote.name ?? 'Unavailable',
      time: half.startTime,
    })
    entries.length = Math.min(entries.length, ENTRIES_MAX)
    this.#entries.set(key, entries)
  }

  read(userId: string, kind: CallLogKind): readonly CallLogEntry[] {
    return this.#entries.get(`${userId}\n${kind}`) ?? []
  }

  clear(userId: string, kind: CallLogKind): void {
    this.#entries.delete(`${userId}\n${kind}`)
  }
}

function kindOf(half: CallHalf): CallLogKind {
  if (half.personality !== 'Terminator') return 'placed'
  return half.answerTime === undefined ? 'missed' : 'received'
}
