import { randomUUID } from 'node:crypto'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type {
  LineOutcome,
  NumberProvider,
  ProviderAction,
  ProviderCapabilities,
  ProviderContext,
  ProviderRequest,
  ProviderResult,
} from '../../src/provisioning/model/provider.ts'
import { until } from '../support/until.ts'

/** What the far side of an adapter can be made to do with the next requests that carry something out. */
export type FarFault =
  /** It never gets there, and nobody answers. */
  | 'lose_request'
  /** It is carried out, and nobody answers. */
  | 'lose_answer'
  /** Not now: again after 2 s. */
  | 'throttle'
  /** Never. */
  | 'refuse'

/** An adapter together with what is behind it. */
export type ProviderUnderTest = {
  readonly provider: NumberProvider
  /** What is ordered, and the action that begins a line of it. */
  readonly productId: string
  readonly beginning: Extract<ProviderAction, 'begin' | 'enable'>
  /** Must not be found in anything that the adapter says or records. */
  readonly secrets: readonly string[]
  /** Another number at each call, which can be served. */
  freshNumber(): string
  misbehave(fault: FarFault, requests: number): Promise<void>
  behave(): Promise<void>
  /** How many lines the far side has of the number, those included that are about to begin. */
  countLines(e164: string): Promise<number>
  /** The caller's own id of the line that the far side has of the number. */
  externalIdOf(e164: string): Promise<string | undefined>
  stop(): Promise<void>
}

type Recorded = { readonly isResponse: boolean; readonly content: string }

const DEADLINE_MS = 10_000
/** Short, for those that are not answered. */
const HANGING_MS = 400
const BATCH = 7

/** Of the adapters in question, before there is one: they decide which tests there are. */
export type ProviderSuite = {
  readonly name: string
  readonly capabilities: ProviderCapabilities
  /** Called once; each test has numbers of its own. */
  readonly start: () => Promise<ProviderUnderTest>
}

/** What every adapter of a number provider does, whatever is behind it. */
export function describeNumberProvider({ name, capabilities, start }: ProviderSuite): void {
  const { canFind, canCancel, isIdempotent, judgesEligibility } = capabilities
  const has = (action: ProviderAction) => capabilities.actions.has(action)
  describe(`the number provider ${name}`, () => {
    let far: ProviderUnderTest
    let recorded: Recorded[]
    beforeAll(async () => {
      far = await start()
    })
    afterAll(() => far.stop())
    beforeEach(async () => {
      recorded = []
      await far.behave()
    })
    afterEach(() => {
      for (const secret of far.secrets) expect(JSON.stringify(recorded)).not.toContain(secret)
    })

    const contextOf = (over: Partial<ProviderContext> = {}): ProviderContext => ({
      attempt: 1,
      signal: AbortSignal.timeout(DEADLINE_MS),
      record: (detail) => {
        recorded.push(detail)
        return Promise.resolve()
      },
      ...over,
    })

    function requestOf(numbers: readonly string[], over: Partial<ProviderRequest> = {}): ProviderRequest {
      return {
        action: far.beginning,
        productId: far.productId,
        idempotencyKey: `ful_${randomUUID()}`,
        lines: numbers.map((e164) => ({ e164, attributes: { externalId: 'their-7' } })),
        ...over,
      }
    }

    const kept = <Result extends ProviderResult | undefined>(result: Result): Result => {
      for (const secret of far.secrets) expect(JSON.stringify(result ?? null)).not.toContain(secret)
      return result
    }
    const execute = async (request: ProviderRequest, context = contextOf()) =>
      kept(await far.provider.execute(request, context))

    /** The outcome of each line, asked after until there is one. */
    async function settle(request: ProviderRequest, first: ProviderResult): Promise<readonly LineOutcome[]> {
      let result = first
      return until('an outcome of every line', async () => {
        if (result.kind === 'answered' && result.lines.every(({ kind }) => kind !== 'pending')) return result.lines
        const ref = result.kind === 'answered' || result.kind === 'accepted' ? result.ref : undefined
        if (ref === undefined) throw new Error(`it came to ${JSON.stringify(result)}`)
        result = kept(await far.provider.poll(ref, request, contextOf()))
        return undefined
      })
    }
    const complete = async (request: ProviderRequest) => settle(request, await execute(request))

    async function begun(): Promise<string> {
      const number = far.freshNumber()
      expect(kindsOf(await complete(requestOf([number])))).toEqual(['done'])
      return number
    }

    test('says what it can do', () => {
      expect(far.provider.capabilities).toEqual(capabilities)
      expect(has(far.beginning)).toBe(true)
      expect(has('end')).toBe(true)
      expect(far.provider.capabilities.batchMax).toBeGreaterThanOrEqual(1)
    })

    test('begins a line, once, and gives it its reference', async () => {
      const number = far.freshNumber()
      const lines = await complete(requestOf([number]))
      expect(lines).toMatchObject([{ e164: number, kind: 'done' }])
      expect(await far.countLines(number)).toBe(1)
    })

    test('records what it sent and what came back', async () => {
      const number = far.freshNumber()
      await execute(requestOf([number]))
      expect(recorded.map(({ isResponse }) => isResponse)).toEqual([false, true])
      expect(recorded.map(({ content }) => content).join(' ')).toContain(number.slice(1))
    })

    test('gives every line of a batch an outcome', async () => {
      const size = Math.min(BATCH, far.provider.capabilities.batchMax)
      const numbers = Array.from({ length: size }, () => far.freshNumber())
      const lines = await complete(requestOf(numbers))
      expect(lines.map(({ e164 }) => e164).toSorted()).toEqual(numbers.toSorted())
      expect(new Set(kindsOf(lines))).toEqual(new Set(['done']))
    })

    test.each([{ externalId: 'their-7' }, { externalId: 'their-9' }, {}])(
      'has no second line of a number, which stays as it was, when it is asked for as %j',
      async (attributes) => {
        const number = await begun()
        const again = requestOf([], { lines: [{ e164: number, attributes }] })
        const result = await execute(again)
        const outcome = result.kind === 'refused' ? 'refused' : kindsOf(await settle(again, result)).join()
        // What the same one asks for in the same way may well be done already.
        const isOther = attributes.externalId === 'their-9'
        expect(isOther ? ['refused', 'rejected'] : ['refused', 'rejected', 'done']).toContain(outcome)
        expect(await far.countLines(number)).toBe(1)
        expect(await far.externalIdOf(number)).toBe('their-7')
        expect(kindsOf(await complete(requestOf([number], { action: 'end' })))).toEqual(['done'])
        expect(await far.countLines(number)).toBe(0)
      },
    )

    testIf(has('change'))('changes a line', async () => {
      const number = await begun()
      const lines = [{ e164: number, attributes: { externalId: 'their-8' } }]
      expect(kindsOf(await complete(requestOf([], { action: 'change', lines })))).toEqual(['done'])
      expect(await far.countLines(number)).toBe(1)
    })

    test('ends a line, which can begin again', async () => {
      const number = await begun()
      expect(kindsOf(await complete(requestOf([number], { action: 'end' })))).toEqual(['done'])
      expect(await far.countLines(number)).toBe(0)
      expect(kindsOf(await complete(requestOf([number])))).toEqual(['done'])
      expect(await far.countLines(number)).toBe(1)
    })

    test.each((['change', 'end'] as const).filter(has))('does not %s a line that there is not', async (action) => {
      const request = requestOf([far.freshNumber()], { action })
      const result = await execute(request)
      const isRejected = result.kind === 'refused' || kindsOf(await settle(request, result)).join() === 'rejected'
      expect(isRejected).toBe(true)
    })

    testIf(isIdempotent)('carries a request out once, however often it is repeated', async () => {
      const number = far.freshNumber()
      const request = requestOf([number])
      const results = await Promise.all(Array.from({ length: 5 }, () => execute(request)))
      for (const result of results) expect(kindsOf(await settle(request, result))).toEqual(['done'])
      expect(kindsOf(await complete(request))).toEqual(['done'])
      expect(await far.countLines(number)).toBe(1)
    })

    testIf(isIdempotent)('takes no other request for a repetition', async () => {
      const request = requestOf([far.freshNumber()])
      await complete(request)
      const number = far.freshNumber()
      const other = requestOf([number], { idempotencyKey: request.idempotencyKey })
      expect(await execute(other)).toMatchObject({ kind: 'refused' })
      expect(await far.countLines(number)).toBe(0)
    })

    testIf(canFind)('does not find what was never sent', async () => {
      expect(await far.provider.find(requestOf([far.freshNumber()]), contextOf())).toBeUndefined()
    })

    test('does not know what became of a request that got lost, and can send it again', async () => {
      const number = far.freshNumber()
      const request = requestOf([number])
      await far.misbehave('lose_request', 1)
      const signal = AbortSignal.timeout(HANGING_MS)
      expect(await execute(request, contextOf({ signal }))).toMatchObject({ kind: 'unknown' })
      await far.behave()
      const found = canFind ? await far.provider.find(request, contextOf({ attempt: 2 })) : undefined
      expect(kept(found)).toBeUndefined()
      expect(kindsOf(await settle(request, await execute(request, contextOf({ attempt: 3 }))))).toEqual(['done'])
      expect(await far.countLines(number)).toBe(1)
    })

    testIf(canFind || isIdempotent)('finds out what became of a request whose answer got lost', async () => {
      const number = far.freshNumber()
      const request = requestOf([number])
      await far.misbehave('lose_answer', 1)
      const signal = AbortSignal.timeout(HANGING_MS)
      expect(await execute(request, contextOf({ signal }))).toMatchObject({ kind: 'unknown' })
      await far.behave()
      const context = contextOf({ attempt: 2 })
      const found = canFind ? kept(await far.provider.find(request, context)) : await execute(request, context)
      if (found === undefined) throw new Error('it was not found')
      expect(kindsOf(await settle(request, found))).toEqual(['done'])
      expect(await far.countLines(number)).toBe(1)
    })

    testIf(canFind)('finds out that a line has ended, when the answer to that got lost', async () => {
      const request = requestOf([await begun()], { action: 'end' })
      await far.misbehave('lose_answer', 1)
      const signal = AbortSignal.timeout(HANGING_MS)
      expect(await execute(request, contextOf({ signal }))).toMatchObject({ kind: 'unknown' })
      await far.behave()
      const found = kept(await far.provider.find(request, contextOf({ attempt: 2 })))
      if (found === undefined) throw new Error('it was not found')
      expect(kindsOf(await settle(request, found))).toEqual(['done'])
    })

    test('keeps to the deadline', async () => {
      await far.misbehave('lose_request', 3)
      const startedAt = performance.now()
      const signal = AbortSignal.timeout(HANGING_MS)
      expect(await execute(requestOf([far.freshNumber()]), contextOf({ signal }))).toMatchObject({ kind: 'unknown' })
      expect(performance.now() - startedAt).toBeLessThan(HANGING_MS + 3_000)
      const isOver = contextOf({ signal: AbortSignal.abort() })
      expect(['unknown', 'retry']).toContain((await execute(requestOf([far.freshNumber()]), isOver)).kind)
    })

    test('says when to come back, and has done nothing', async () => {
      const number = far.freshNumber()
      const request = requestOf([number])
      await far.misbehave('throttle', 1)
      const result = await execute(request)
      expect(result).toMatchObject({ kind: 'retry' })
      expect(result.kind === 'retry' && result.afterMs).toBeGreaterThan(1_000)
      expect(result.kind === 'retry' && result.afterMs).toBeLessThanOrEqual(2_000)
      expect(await far.countLines(number)).toBe(0)
      expect(kindsOf(await settle(request, await execute(request, contextOf({ attempt: 2 }))))).toEqual(['done'])
    })

    test('tells a refusal as one, and has done nothing', async () => {
      const number = far.freshNumber()
      await far.misbehave('refuse', 1)
      const result = await execute(requestOf([number]))
      expect(result).toMatchObject({ kind: 'refused', code: expect.any(String), message: expect.any(String) })
      expect(await far.countLines(number)).toBe(0)
    })

    testIf(canCancel)('cancels what is not done yet', async () => {
      const number = far.freshNumber()
      const request = requestOf([number])
      const result = await execute(request)
      if (result.kind !== 'accepted') throw new Error('it is done already')
      const cancelled = kept(await far.provider.cancel(result.ref, request, contextOf()))
      expect(kindsOf(await settle(request, cancelled))).toEqual(['rejected'])
      expect(await far.countLines(number)).toBe(0)
      expect(kindsOf(await complete(requestOf([number])))).toEqual(['done'])
    })

    testIf(canCancel)('does not cancel what is done', async () => {
      const number = far.freshNumber()
      const request = requestOf([number])
      const result = await execute(request)
      await settle(request, result)
      const ref = result.kind === 'accepted' || result.kind === 'answered' ? result.ref : undefined
      const cancelled = kept(await far.provider.cancel(ref ?? '', request, contextOf()))
      expect(kindsOf(await settle(request, cancelled))).toEqual(['done'])
      expect(await far.countLines(number)).toBe(1)
    })

    testIf(judgesEligibility)('judges a number that can be served as eligible, and says why', async () => {
      const judged = await far.provider.judgeEligibility(far.freshNumber(), contextOf())
      expect(judged).toMatchObject({ isEligible: true, reason: 'eligible' })
      expect(judged.rules.length).toBeGreaterThan(0)
    })
  })
}

/** Where it is false there is no such test: it is about what the adapter cannot do. */
const testIf = (isPossible: boolean): ((title: string, run: () => Promise<void>) => void) =>
  isPossible ? test : () => undefined

const kindsOf = (lines: readonly LineOutcome[]) => lines.map(({ kind }) => kind)
