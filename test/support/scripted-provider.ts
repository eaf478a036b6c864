import { setTimeout as delay } from 'node:timers/promises'
import type {
  LineOutcome,
  NumberProvider,
  ProviderCapabilities,
  ProviderContext,
  ProviderLine,
  ProviderRequest,
  ProviderResult,
} from '../../src/provisioning/model/provider.ts'

/** What befalls one call; without one it goes as it should. */
export const FAULTS = [
  'throttle',
  'refuse',
  'timeout before it is carried out',
  'timeout after it is carried out',
  'no answer at all',
  'adapter throws',
  'accepted',
  'pending',
  'some rejected',
  'rejected, and done later',
  'told twice',
  'part of the answer missing',
  'cancellation refused',
] as const
export type Fault = (typeof FAULTS)[number]

export type Callback = { readonly ref: string; readonly lines: readonly LineOutcome[] }

/** A request as the carrier has it. */
type Book = {
  readonly ref: string
  readonly request: ProviderRequest
  readonly outcomes: Map<string, LineOutcome>
}

/**
 * A carrier in this process: it keeps lines and requests, obeys a script of faults, one for each call, and takes down
 * what must never happen to it (`violations`).
 */
export class ScriptedProvider implements NumberProvider {
  readonly id: string
  readonly about = { name: 'Scripted', description: 'Does as a test says.', version: '1.2.3' }
  readonly capabilities: ProviderCapabilities
  readonly #script: Fault[]
  readonly #books = new Map<string, Book>()
  /** Live lines by number, with the key of the request that began them. */
  readonly lines = new Map<string, { readonly ref: string; readonly key: string }>()
  readonly violations: string[] = []
  /** To be told, in any order and any number of times. */
  readonly callbacks: Callback[] = []
  readonly #delayed: (() => Callback)[] = []
  readonly #rejected = new Map<string, string>()
  #nextRef = 1
  calls = 0

  constructor(id: string, script: readonly Fault[], capabilities: Partial<ProviderCapabilities> = {}) {
    this.id = id
    this.#script = [...script]
    this.capabilities = {
      actions: new Set(['begin', 'port', 'enable', 'change', 'move', 'end']),
      isIdempotent: true,
      canFind: true,
      canCancel: true,
      judgesEligibility: false,
      batchMax: 2,
      ...capabilities,
    }
  }

  /** The next time that a line of this number is asked for, it is rejected. */
  rejectNext(number: string | undefined, code = 'no_inventory'): void {
    if (number !== undefined) this.#rejected.set(number, code)
  }

  /** Lets what was to happen later happen now. */
  catchUp(): void {
    for (const happen of this.#delayed.splice(0)) this.callbacks.push(happen())
  }

  /** Brings a request to its end and says what that was, as an operator hears it on the telephone. */
  conclude(key: string): readonly LineOutcome[] | undefined {
    const book = this.#books.get(key)
    for (const line of book?.request.lines ?? []) {
      if (book !== undefined && !book.outcomes.has(line.e164)) this.#carryOut(book, line)
    }
    return book === undefined ? undefined : [...book.outcomes.values()]
  }

  async execute(request: ProviderRequest, context: ProviderContext): Promise<ProviderResult> {
    await context.record({ isResponse: false, content: `${request.action} ${request.lines.length}` })
    const known = this.#books.get(request.idempotencyKey)
    if (known !== undefined && this.capabilities.isIdempotent) return this.#repeat(known)
    if (known !== undefined) this.violations.push(`${request.idempotencyKey} was sent twice`)
    const fault = this.#next()
    if (fault === 'throttle') return { kind: 'retry', reason: 'too many requests', afterMs: 50 }
    if (fault === 'timeout before it is carried out') return { kind: 'unknown', reason: 'connection reset' }
    const book = this.#open(request)
    if (fault === 'accepted') return { kind: 'accepted', ref: book.ref, pollAfterMs: 100 }
    if (fault === 'pending') {
      const lines = request.lines.map(({ e164 }) => ({ e164, kind: 'pending' as const, focDate: 1_900_000_000_000 }))
      return { kind: 'answered', ref: book.ref, lines }
    }
    if (fault === 'refuse') {
      for (const line of request.lines) reject(book, line, 'refused')
      return { kind: 'refused', code: 'refused', message: 'not here' }
    }
    return fault === 'rejected, and done later' ? this.#rejectForNow(book) : this.#perform(book, fault, context)
  }

  async poll(ref: string, request: ProviderRequest, context: ProviderContext): Promise<ProviderResult> {
    const book = this.#bookOf(ref, request)
    const fault = this.#next()
    if (fault === 'throttle') return { kind: 'retry', reason: 'too many requests' }
    if (fault === 'timeout before it is carried out') return { kind: 'unknown', reason: 'connection reset' }
    if (fault === 'accepted') return { kind: 'accepted', ref, pollAfterMs: 100 }
    return this.#perform(book, fault, context)
  }

  async find(request: ProviderRequest): Promise<ProviderResult | undefined> {
    const book = this.#books.get(request.idempotencyKey)
    const fault = this.#next()
    if (fault === 'throttle') return Promise.resolve({ kind: 'retry', reason: 'too many requests' })
    if (fault === 'timeout before it is carried out') return { kind: 'unknown', reason: 'connection reset' }
    if (book === undefined) return undefined
    return book.outcomes.size === 0 ? { kind: 'accepted', ref: book.ref, pollAfterMs: 100 } : this.#answer(book)
  }

  async cancel(ref: string, request: ProviderRequest, context: ProviderContext): Promise<ProviderResult> {
    const book = this.#bookOf(ref, request)
    const fault = this.#next()
    if (fault === 'timeout before it is carried out') return { kind: 'unknown', reason: 'connection reset' }
    if (fault === 'cancellation refused') return { kind: 'refused', code: 'too_late', message: 'it has begun' }
    for (const line of book.request.lines) {
      if (!book.outcomes.has(line.e164)) reject(book, line, 'cancelled')
    }
    return this.#perform(book, fault, context)
  }

  async judgeEligibility(): Promise<never> {
    return Promise.reject(new Error('not asked'))
  }

  #next(): Fault | undefined {
    this.calls += 1
    return this.#script.shift()
  }

  /** Carries out what is still to be, and answers as the fault has it. */
  async #perform(book: Book, fault: Fault | undefined, context: ProviderContext): Promise<ProviderResult> {
    for (const [index, line] of book.request.lines.entries()) {
      if (book.outcomes.has(line.e164)) continue
      const code = this.#rejected.get(line.e164) ?? (fault === 'some rejected' && index % 2 === 0 ? 'no_inventory' : '')
      this.#rejected.delete(line.e164)
      if (code !== '') reject(book, line, code)
      else this.#carryOut(book, line)
    }
    const lines = [...book.outcomes.values()]
    if (fault === 'told twice') this.callbacks.push({ ref: book.ref, lines }, { ref: book.ref, lines })
    if (fault === 'part of the answer missing') return { kind: 'answered', ref: book.ref, lines: lines.slice(1) }
    if (fault === 'timeout after it is carried out') return { kind: 'unknown', reason: 'connection reset' }
    if (fault === 'adapter throws') throw new Error('a mistake of the adapter')
    if (fault === 'no answer at all') await delay(60_000, undefined, { signal: context.signal })
    return this.#answer(book)
  }

  /** Of a key that is known nothing is carried out, but the answer may be lost, too. */
  #repeat(book: Book): ProviderResult {
    const fault = this.#next()
    if (fault === 'throttle') return { kind: 'retry', reason: 'too many requests', afterMs: 50 }
    if (fault === 'timeout before it is carried out') return { kind: 'unknown', reason: 'connection reset' }
    return this.#answer(book)
  }

  #rejectForNow(book: Book): ProviderResult {
    const { lines } = book.request
    for (const line of lines) reject(book, line, 'no_inventory')
    const answer = this.#answer(book)
    this.#delayed.push(() => {
      for (const line of lines) this.#carryOut(book, line)
      return { ref: book.ref, lines: [...book.outcomes.values()] }
    })
    return answer
  }

  #open(request: ProviderRequest): Book {
    const book = { ref: `ref-${this.#nextRef++}`, request, outcomes: new Map<string, LineOutcome>() }
    this.#books.set(request.idempotencyKey, book)
    return book
  }

  #bookOf(ref: string, request: ProviderRequest): Book {
    const book = this.#books.get(request.idempotencyKey)
    if (book?.ref !== ref) throw new Error(`${ref} is not the reference of ${request.idempotencyKey}`)
    return book
  }

  #answer(book: Book): ProviderResult {
    if (book.outcomes.size === 0) return { kind: 'accepted', ref: book.ref, pollAfterMs: 100 }
    return { kind: 'answered', ref: book.ref, lines: [...book.outcomes.values()] }
  }

  #carryOut(book: Book, { e164 }: ProviderLine): void {
    const { action, idempotencyKey: key } = book.request
    const line = this.lines.get(e164)
    if (action === 'begin' || action === 'port' || action === 'enable') {
      if (line !== undefined) this.violations.push(`a second line of ${e164}`)
      this.lines.set(e164, { ref: `${book.ref}/${e164}`, key })
    } else if (line === undefined) {
      this.violations.push(`${action} of ${e164}, which has no line`)
    }
    if (action === 'end') this.lines.delete(e164)
    const providerRef = this.lines.get(e164)?.ref
    book.outcomes.set(e164, { e164, kind: 'done', ...(providerRef !== undefined && { providerRef }) })
  }
}

function reject(book: Book, { e164 }: ProviderLine, code: string): void {
  book.outcomes.set(e164, { e164, kind: 'rejected', code, message: 'it did not work' })
}
