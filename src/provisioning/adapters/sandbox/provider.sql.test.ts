import { randomUUID } from 'node:crypto'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { startTestProvisioning, type TestProvisioning } from '../../../../test/support/provisioning.ts'
import { STORES } from '../../../../test/support/records.ts'
import { until } from '../../../../test/support/until.ts'
import { systemClock } from '../../../core/clock.ts'
import { silentLogger } from '../../../core/logger.ts'
import type { ProviderContext, ProviderNotice, ProviderRequest, ProviderResult } from '../../model/provider.ts'
import type { SandboxFault } from './fault.ts'
import { SandboxProvider } from './provider.ts'

const FULFIL_MS = 60
const PORT_MS = 120

describe.each(STORES)('the sandbox carrier on %s', (store) => {
  let rig: TestProvisioning
  let carrier: SandboxProvider
  beforeAll(async () => {
    rig = await startTestProvisioning(store)
    carrier = createCarrier()
  })
  afterEach(() => carrier.setFaults([]))
  afterAll(() => rig.stop())

  const createCarrier = (account?: string) =>
    new SandboxProvider({
      database: rig.database,
      clock: systemClock,
      log: silentLogger,
      fulfilMs: FULFIL_MS,
      portMs: PORT_MS,
      ...(account !== undefined && { account }),
    })

  const records: string[] = []
  const contextOf = (attempt = 1): ProviderContext => ({
    attempt,
    signal: AbortSignal.timeout(10_000),
    record: ({ content }) => {
      records.push(content)
      return Promise.resolve()
    },
  })
  const execute = (request: ProviderRequest, attempt?: number) => carrier.execute(request, contextOf(attempt))

  let next = 0
  const freshNumbers = (count: number) =>
    Array.from({ length: count }, () => `+1303555${String((next += 1) + 1_000).padStart(4, '0')}`)

  /** Polls until it is over, and resolves with what became of the lines. */
  const settle = (request: ProviderRequest, first: ProviderResult, isOver = isFinal) => {
    const ref = first.kind === 'accepted' || first.kind === 'answered' ? first.ref : undefined
    return until('the end of the order', async () => {
      const result = await carrier.poll(ref ?? '', request, contextOf())
      return isOver(result) ? linesOf(result) : undefined
    })
  }
  const liveLines = (numbers: readonly string[]) =>
    rig.database.query((db) =>
      db
        .selectFrom('sandbox_lines')
        .select(['e164', 'attributes'])
        .where('e164', 'in', [...numbers])
        .where('ended_at', 'is', null)
        .orderBy('e164')
        .execute(),
    )

  test('a port has a date, and the numbers come over on it', async () => {
    const numbers = freshNumbers(2)
    const request = requestOf(numbers, { action: 'port' })
    const before = Date.now()
    const result = await execute(request)
    const pending = linesOf(result)
    expect(pending).toEqual(numbers.map((e164) => ({ e164, kind: 'pending', focDate: expect.any(Number) })))
    const [first] = pending
    expect(first?.kind === 'pending' && first.focDate).toBeGreaterThan(before - 1_000)
    expect(await liveLines(numbers)).toEqual([])
    expect((await settle(request, result)).map(({ kind }) => kind)).toEqual(['done', 'done'])
    expect(await liveLines(numbers)).toHaveLength(2)
  })

  test('a port is not done before the date that was asked for, and may be cancelled until then', async () => {
    const [e164 = ''] = freshNumbers(1)
    const focDate = Date.UTC(2077, 4, 1)
    const lines = [{ e164, attributes: { requestedFocDate: focDate } }]
    const request = requestOf([], { action: 'port', lines })
    const result = await execute(request)
    expect(linesOf(result)).toEqual([{ e164, kind: 'pending', focDate }])
    const ref = result.kind === 'answered' ? result.ref : undefined
    const cancelled = await carrier.cancel(ref ?? '', request, contextOf())
    expect(linesOf(cancelled)).toMatchObject([{ e164, kind: 'rejected', code: 'cancelled' }])
  })

  test('the PIN at the losing carrier is neither kept nor recorded', async () => {
    const [e164 = ''] = freshNumbers(1)
    const losingCarrier = { name: 'Acme', accountNumber: '7', pin: 'hush-4711' }
    const request = requestOf([], { action: 'port', lines: [{ e164, attributes: { losingCarrier } }] })
    await settle(request, await execute(request))
    const kept = await rig.database.query((db) => db.selectFrom('sandbox_orders').selectAll().execute())
    expect(JSON.stringify(await liveLines([e164]))).toContain('Acme')
    for (const text of [JSON.stringify(kept), JSON.stringify(await liveLines([e164])), records.join('\n')]) {
      expect(text).not.toContain('hush-4711')
    }
  })

  test('a changed line has what it had and what was changed', async () => {
    const [e164 = ''] = freshNumbers(1)
    const begin = requestOf([], { lines: [{ e164, attributes: { externalId: 'a', features: ['sms'] } }] })
    await settle(begin, await execute(begin))
    const change = requestOf([], { action: 'change', lines: [{ e164, attributes: { callerName: 'ACME' } }] })
    await settle(change, await execute(change))
    expect(await liveLines([e164])).toEqual([
      { e164, attributes: { externalId: 'a', features: ['sms'], callerName: 'ACME' } },
    ])
  })

  test.each([
    ['partial_batch', 'begin', ['done', 'done', 'rejected', 'rejected', 'rejected']],
    ['foc_rejection', 'port', ['rejected', 'rejected', 'rejected', 'rejected', 'rejected']],
    ['foc_rejection', 'begin', ['done', 'done', 'done', 'done', 'done']],
  ] as const)('%s of a %s of five comes to %j', async (fault, action, outcomes) => {
    await carrier.setFaults([{ fault, requests: 1 }])
    const numbers = freshNumbers(5)
    const request = requestOf(numbers, { action })
    expect((await settle(request, await execute(request))).map(({ kind }) => kind)).toEqual(outcomes)
    const live = numbers.filter((_, index) => outcomes[index] === 'done')
    expect((await liveLines(numbers)).map(({ e164 }) => e164)).toEqual(live)
  })

  test('of several faults the first that matches befalls a request, for as many requests as it is for', async () => {
    const [a = '', b = ''] = freshNumbers(2)
    const script: readonly SandboxFault[] = [
      { fault: 'refuse', number: b },
      { fault: 'throttle', requests: 2, delayMs: 700 },
      { fault: 'refuse', productId: 'prd_gb-local' },
    ]
    await carrier.setFaults(script)
    const kinds = []
    for (const number of [a, b, a, a]) kinds.push((await execute(requestOf([number]))).kind)
    expect(kinds).toEqual(['retry', 'refused', 'retry', 'accepted'])
    expect((await execute(requestOf(freshNumbers(1), { productId: 'prd_gb-local' }))).kind).toBe('refused')
    expect(await carrier.faults()).toMatchObject([{ fault: 'refuse' }, { requests: 0, delayMs: 700 }, {}])
  })

  test('one fault of one request befalls one of many at once, whichever instance they come to', async () => {
    const other = createCarrier()
    await carrier.setFaults([{ fault: 'refuse', requests: 1 }])
    const results = await Promise.all(
      freshNumbers(6).map((number, index) => (index % 2 ? other : carrier).execute(requestOf([number]), contextOf())),
    )
    expect(results.filter(({ kind }) => kind === 'refused')).toHaveLength(1)
  })

  test.each(['poll', 'find', 'cancel'] as const)(
    'a %s may fail, too, and another request does not',
    async (operation) => {
      const request = requestOf(freshNumbers(1))
      const result = await execute(request)
      const ref = result.kind === 'accepted' ? result.ref : ''
      await carrier.setFaults([
        { fault: 'throttle', operation, requests: 1, delayMs: 50 },
        { fault: 'timeout_before_commit', operation, requests: 1, delayMs: 10 },
      ])
      const ask = {
        poll: () => carrier.poll(ref, request, contextOf()),
        find: () => carrier.find(request, contextOf()),
        cancel: () => carrier.cancel(ref, request, contextOf()),
      }[operation]
      expect(await ask()).toEqual({ kind: 'retry', reason: 'throttled', afterMs: 50 })
      expect(await ask()).toEqual({ kind: 'unknown', reason: 'timeout' })
      expect(['accepted', 'answered']).toContain((await ask())?.kind)
    },
  )

  test('a late arrival is found only when it is there, and carried out once though it was sent again', async () => {
    const numbers = freshNumbers(1)
    const request = requestOf(numbers)
    await carrier.setFaults([{ fault: 'late_arrival', requests: 1, delayMs: 300 }])
    expect(await execute(request)).toEqual({ kind: 'unknown', reason: 'timeout' })
    const again = requestOf(freshNumbers(1))
    await carrier.setFaults([{ fault: 'late_arrival', requests: 1, delayMs: 60_000 }])
    await execute(again)
    expect(await carrier.find(again, contextOf(2))).toBeUndefined()
    const found = await until('the arrival', () => carrier.find(request, contextOf(2)))
    expect((await settle(request, found)).map(({ kind }) => kind)).toEqual(['done'])
    expect((await execute(again, 2)).kind).toBe('accepted')
  })

  test('a late success is reported as rejected, and the line is there after all', async () => {
    const numbers = freshNumbers(1)
    const request = requestOf(numbers)
    await carrier.setFaults([{ fault: 'late_success', requests: 1, delayMs: 400 }])
    const result = await execute(request)
    expect(await settle(request, result)).toMatchObject([{ kind: 'rejected', code: 'carrier_timeout' }])
    expect(await liveLines(numbers)).toEqual([])
    expect(await settle(request, result, isDone)).toMatchObject([{ kind: 'done' }])
    expect(await liveLines(numbers)).toHaveLength(1)
  })

  test.each([
    ['0190', 'unknown', 'accepted'],
    ['0191', 'unknown', 'answered'],
    ['0192', 'unknown', 'accepted'],
    ['0194', 'accepted', 'accepted'],
    ['0195', 'retry', 'accepted'],
    ['0196', 'refused', 'refused'],
    ['0198', 'accepted', 'accepted'],
  ])('a number that ends in %s: first %s, then %s', async (ending, first, second) => {
    const request = requestOf([`+1617555${ending}`])
    expect((await execute(request)).kind).toBe(first)
    expect((await execute(request, 2)).kind).toBe(second)
  })

  test('of a batch only the numbers that end in 0194 are rejected', async () => {
    const [ordinary = ''] = freshNumbers(1)
    const request = requestOf([ordinary, '+16125550194'])
    expect((await settle(request, await execute(request))).map(({ kind }) => kind)).toEqual(['done', 'rejected'])
  })

  test.each([
    ['+12065550188', 'mobile_number', 'mobile'],
    ['+12065550189', 'provisioned_elsewhere', 'landline'],
    ['+12065550142', 'eligible', 'landline'],
  ])('%s is judged as %s', async (e164, reason, lineType) => {
    expect(await carrier.judgeEligibility(e164, contextOf())).toMatchObject({
      reason,
      lineType,
      isEligible: reason === 'eligible',
    })
  })

  test('a number that the carrier serves for another account cannot be served for this one', async () => {
    const [e164 = ''] = freshNumbers(1)
    const request = requestOf([e164])
    const other = createCarrier('somebody-else')
    const taken = await other.execute(request, contextOf())
    const ref = taken.kind === 'accepted' ? taken.ref : ''
    await until('the line', async () => linesOf(await other.poll(ref, request, contextOf()))[0])
    expect((await carrier.judgeEligibility(e164, contextOf())).reason).toBe('provisioned_elsewhere')
    const mine = requestOf([e164])
    expect(await settle(mine, await execute(mine))).toMatchObject([{ kind: 'rejected', code: 'number_in_use' }])
  })

  test('while it runs it tells what became of orders: once, and again when it is to repeat itself', async () => {
    const running = [createCarrier(), createCarrier()]
    const told: ProviderNotice[] = []
    const listeners = running.map((each) =>
      each.listen((notice) => {
        told.push(notice)
        return told.length < 3 ? Promise.reject(new Error('crashed')) : Promise.resolve(true)
      }),
    )
    for (const each of running) await each.start()
    try {
      const once = requestOf(freshNumbers(1))
      const often = requestOf(freshNumbers(1))
      const late = requestOf(freshNumbers(1))
      await execute(once)
      await carrier.setFaults([
        { fault: 'duplicate_callback', requests: 1 },
        { fault: 'late_success', requests: 1, delayMs: 1_500 },
      ])
      await execute(often)
      await execute(late)
      const of = ({ idempotencyKey }: ProviderRequest) =>
        told.filter((notice) => notice.idempotencyKey === idempotencyKey)
      const all = () => [of(once), of(often), of(late)].flat()
      await until('all notices', () => (all().length >= 6 ? true : undefined))
      expect([of(once), of(often), of(late)].map((notices) => notices.length)).toEqual([1, 3, 2])
      expect(of(late).map(({ result }) => result.lines[0]?.kind)).toEqual(['rejected', 'done'])
      expect(of(often)[0]).toMatchObject({ result: { kind: 'answered', lines: [{ kind: 'done' }] } })
    } finally {
      for (const stop of listeners) stop()
      for (const each of running) await each.stop()
    }
  })

  test('what it was asked, and its faults, outlive the process', async () => {
    const numbers = freshNumbers(1)
    const request = requestOf(numbers)
    await carrier.setFaults([{ fault: 'slow', delayMs: 123 }])
    await execute(request)
    const restarted = createCarrier()
    expect(await restarted.faults()).toMatchObject([{ fault: 'slow', delayMs: 123 }])
    expect((await restarted.find(request, contextOf()))?.kind).toBe('accepted')
  })
})

const requestOf = (numbers: readonly string[], over: Partial<ProviderRequest> = {}): ProviderRequest => ({
  action: 'begin',
  productId: 'prd_us-local',
  idempotencyKey: `ful_${randomUUID()}`,
  lines: numbers.map((e164) => ({ e164, attributes: {} })),
  ...over,
})

const linesOf = (result: ProviderResult | undefined) => (result?.kind === 'answered' ? result.lines : [])

const isFinal = (result: ProviderResult) =>
  result.kind === 'answered' && result.lines.every(({ kind }) => kind !== 'pending')

const isDone = (result: ProviderResult) => linesOf(result).some(({ kind }) => kind === 'done')
