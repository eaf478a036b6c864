import { buildConnector } from 'undici'
import { afterEach, expect, test } from 'vitest'
import { messageOf, targetAt } from '../../test/support/deliverer.ts'
import { DelivererRig } from '../../test/support/deliverer-rig.ts'
import type { WebhookReceiver } from '../../test/support/webhook-receiver.ts'
import type { Keyring } from './attempt.ts'
import { createSigningKey, generateSecret, toKeyring, verify } from './signature.ts'

const rig = new DelivererRig()
afterEach(() => rig.clean())

const OLD = generateSecret()
const NEW = generateSecret()

/** An endpoint's secret, replaced without an overlap. */
class Rotation {
  #keys: Keyring | undefined = toKeyring([OLD])

  readonly credentials = () => Promise.resolve(this.#keys && { keys: this.#keys, headers: {} })

  rotate(): void {
    this.#keys = toKeyring([NEW])
  }

  remove(): void {
    this.#keys = undefined
  }
}

/** Which of the two secrets signed the requests that arrived. */
const signersOf = (receiver: WebhookReceiver): readonly string[] =>
  receiver.received.map(({ headers, body }) => {
    const timestamp = String(headers['webhook-timestamp'])
    const signed = { id: 'msg_1', timestamp, signature: String(headers['webhook-signature']) }
    const isBy = (secret: string) =>
      verify(signed, body, { keys: [createSigningKey(secret)], nowSeconds: Number(timestamp) }) === 'valid'
    return [isBy(OLD) && 'old', isBy(NEW) && 'new'].filter(Boolean).join('+')
  })

/** undici's connector, whose sockets are ready so much later. */
const slowBy =
  (ms: number): typeof buildConnector =>
  (options) => {
    const connect = buildConnector(options)
    return (target, callback) =>
      connect(target, (...[error, socket]) => {
        setTimeout(() => (error === null ? callback(null, socket) : callback(error, null)), ms)
      })
  }

const send = (deliverer: ReturnType<DelivererRig['start']>, target: ReturnType<typeof targetAt>) =>
  deliverer.attempt(target, messageOf(), new AbortController().signal)

test('a secret that is replaced while the primary URL fails signs nothing at the failover URL', async () => {
  const rotation = new Rotation()
  const primary = await rig.startReceiver((res) => {
    rotation.rotate()
    res.writeHead(503).end()
  })
  const failover = await rig.startReceiver()
  const target = targetAt(primary.url, { failoverUrl: failover.url, credentials: rotation.credentials })
  expect(await send(rig.start(), target)).toHaveLength(2)
  expect([signersOf(primary), signersOf(failover)]).toEqual([['old'], ['new']])
})

test('an endpoint that is removed while its primary URL fails is sent nothing more', async () => {
  const rotation = new Rotation()
  const primary = await rig.startReceiver((res) => {
    rotation.remove()
    res.writeHead(503).end()
  })
  const failover = await rig.startReceiver()
  const target = targetAt(primary.url, { failoverUrl: failover.url, credentials: rotation.credentials })
  expect(await send(rig.start(), target)).toMatchObject([{ target: 'primary' }])
  expect(failover.received).toHaveLength(0)
})

test('a secret that is replaced while a request waits for its connection does not sign it', async () => {
  const rotation = new Rotation()
  const receiver = await rig.startReceiver()
  const deliverer = rig.start({ build: slowBy(700) })
  const sent = send(deliverer, targetAt(receiver.url, { credentials: rotation.credentials }))
  rotation.rotate()
  expect(await sent).toMatchObject([{ outcome: { kind: 'delivered' } }])
  expect(signersOf(receiver)).toEqual(['new'])
  // The connection is the one that it waited for.
  await send(deliverer, targetAt(receiver.url, { credentials: rotation.credentials }))
  expect(receiver.received).toHaveLength(2)
})

test('a secret that is replaced while all connections are busy does not sign what waits for one', async () => {
  const rotation = new Rotation()
  const free = Promise.withResolvers<void>()
  const receiver = await rig.startReceiver((res) => void free.promise.then(() => res.writeHead(200).end()))
  const deliverer = rig.start({ connections: 1 })
  const target = targetAt(receiver.url, { credentials: rotation.credentials })
  const sent = Promise.all([send(deliverer, target), send(deliverer, target), send(deliverer, target)])
  rotation.rotate()
  setTimeout(() => free.resolve(), 600)
  expect((await sent).flat().map(({ outcome }) => outcome.kind)).toEqual(['delivered', 'delivered', 'delivered'])
  expect(signersOf(receiver)).toEqual(['old', 'new', 'new'])
})

test('what waits with a secret that stays is sent as it was signed', async () => {
  const rotation = new Rotation()
  const receiver = await rig.startReceiver()
  const deliverer = rig.start({ build: slowBy(700) })
  await send(deliverer, targetAt(receiver.url, { credentials: rotation.credentials }))
  expect(signersOf(receiver)).toEqual(['old'])
})

test('a request that waits for its connection for too long ends in its time', async () => {
  const receiver = await rig.startReceiver()
  const deliverer = rig.start({ build: slowBy(2_000) })
  const startedAt = performance.now()
  const reports = await deliverer.attempt(
    targetAt(receiver.url),
    messageOf({ timeoutMs: 600 }),
    new AbortController().signal,
  )
  expect(reports).toMatchObject([{ outcome: { reason: 'timeout' } }])
  expect(performance.now() - startedAt).toBeGreaterThanOrEqual(595)
  expect(performance.now() - startedAt).toBeLessThan(900)
})
