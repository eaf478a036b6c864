import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import * as v from 'valibot'
import { expect, test } from 'vitest'
import { normalizeEvent } from './normalize.ts'
import { parseDocument, type XsiDocument } from './parse.ts'

const DOCUMENTS = 400
/** Far more than everything else that a kept value takes. */
const PADDING = 'x'.repeat(20_000)

setFlagsFromString('--expose-gc')
const collectGarbage = v.parse(v.function(), runInNewContext('gc'))

/** Bytes that stay in use per document for what `keep` returns of it. */
function bytesKept(write: (index: number) => string, keep: (document: XsiDocument) => unknown): number {
  const kept: unknown[] = []
  collectGarbage()
  const before = process.memoryUsage().heapUsed
  for (let index = 0; index < DOCUMENTS; index += 1) kept.push(keep(parseDocument(Buffer.from(write(index)))))
  collectGarbage()
  const bytes = (process.memoryUsage().heapUsed - before) / kept.length
  expect(kept).not.toContain(undefined)
  return bytes
}

const XSI = 'xmlns="http://schema.broadsoft.com/xsi" xmlns:i="http://www.w3.org/2001/XMLSchema-instance"'

const subscription = (index: number): string =>
  `<Subscription ${XSI}><subscriptionId>subscription-number-${index}</subscriptionId><pad>${PADDING}</pad></Subscription>`

const event = (index: number): string =>
  `<Event ${XSI} xmlns:x="http://schema.broadsoft.com/xsi" i:type="x:SubscriptionEvent"><eventID>event-number-${index}</eventID>` +
  `<sequenceNumber>1</sequenceNumber><subscriptionId>subscription-number-${index}</subscriptionId>` +
  `<targetId>user-number-${index}@example.net</targetId><pad>${PADDING}</pad><eventData i:type="x:CallReceivedEvent"><call>` +
  `<callId>callhalf-number-${index}:0</callId><extTrackingId>tracking-number-${index}</extTrackingId>` +
  `<personality>Terminator</personality><state>Alerting</state><remoteParty><name>Somebody number ${index}</name>` +
  `<address>tel:+1555010${10_000 + index}</address></remoteParty><startTime>1700000000000</startTime></call></eventData></Event>`

test('the id of a subscription does not keep the answer that it was read from', () => {
  const bytes = bytesKept(subscription, (document) =>
    document.type === 'subscription' ? document.subscription.subscriptionId : undefined,
  )
  expect(bytes).toBeLessThan(1_000)
})

test('whose an event is, and of which subscription, does not keep the event', () => {
  const bytes = bytesKept(event, (document) =>
    document.type === 'event' ? [document.event.targetId, document.event.subscriptionId] : undefined,
  )
  expect(bytes).toBeLessThan(1_000)
})

test('a call does not keep the event that it was read from', () => {
  const bytes = bytesKept(event, (document) => {
    const meaning = document.type === 'event' ? normalizeEvent(document.event, 1) : undefined
    return meaning?.kind === 'observation' ? meaning.body.calls : undefined
  })
  expect(bytes).toBeLessThan(3_000)
})
