import { Announcer } from '../announcer.ts'
import { systemClock } from '../core/clock.ts'
import type { AppId, EndpointId } from '../core/ids.ts'
import type { Service } from '../core/service.ts'
import { createQueueClient } from '../state/connection.ts'
import { createAddressPolicy } from '../webhooks/address-policy.ts'
import { CredentialCache } from '../webhooks/credential-cache.ts'
import { Deliverer } from '../webhooks/deliverer.ts'
import { Dispatcher } from '../webhooks/dispatcher.ts'
import { EndpointState } from '../webhooks/endpoint-state.ts'
import { WebhookMetrics } from '../webhooks/metrics.ts'
import { PendingLoss } from '../webhooks/pending-loss.ts'
import { Pruner } from '../webhooks/pruner.ts'
import { Recorder } from '../webhooks/recorder.ts'
import { RecorderMetrics } from '../webhooks/recorder-metrics.ts'
import { checkEndpointUrl } from '../webhooks/registration.ts'
import { Replayer } from '../webhooks/replayer.ts'
import { createResolver } from '../webhooks/resolver.ts'
import { Tester } from '../webhooks/tester.ts'
import { Verifier } from '../webhooks/verifier.ts'
import { USER_AGENT } from './base.ts'
import type { Base } from './base.ts'
import type { RecordParts } from './records.ts'
import type { StateParts } from './state.ts'

const RESOLVE_TIMEOUT_MS = 3_000

/** The delivery engine, the records of what it does, and what manages its endpoints. */
export function buildWebhooks(base: Base, records: RecordParts, state: StateParts) {
  const { config, log } = base
  const { directory, endpoints } = records
  const clock = systemClock
  const policy = createAddressPolicy(config.webhooks.allowPrivateTargets)
  const resolve = createResolver({ timeoutMs: RESOLVE_TIMEOUT_MS, localNames: policy.opensAny })
  const createDeliverer = () => new Deliverer({ policy, resolve, clock, userAgent: USER_AGENT })
  const credentials = new CredentialCache(endpoints, clock)
  const engine = buildEngine(base, records, { state, deliverer: createDeliverer(), credentials })
  // Of their own, so that test deliveries work in processes that dispatch nothing, and disturb none that do.
  const probes = createDeliverer()
  const run = <Result>(work: Parameters<typeof state.connection.general.run<Result>>[0]) =>
    state.connection.general.run(work)
  const endpointState = new EndpointState(run, state.eventLog)
  // Elsewhere, the sweeper of a process that dispatches finds what is to be sent a few seconds later.
  const dispatcher = config.roles.has('webhooks') ? engine.dispatcher : undefined
  const openEndpoint = async (appId: AppId, endpointId: EndpointId): Promise<void> => {
    const app = directory.app(appId)
    if (app === undefined) return
    await endpointState.open(app, endpointId)
    // Nobody waits for it: the sweeper would see to it, too.
    dispatcher?.reopen({ appId, endpointId }, clock.now()).catch((error: unknown) => {
      log.warn({ endpoint_id: endpointId, err: error }, 'what waits for a changed endpoint was left to the sweeper')
    })
  }
  return {
    services: engine.services,
    probes: { name: 'webhook-probes', start: async () => probes.start(), stop: () => probes.stop() } satisfies Service,
    replayer: new Replayer({
      run,
      records: records.deliveries,
      directory,
      wake: async (wakes) => dispatcher?.wake(wakes),
      reopen: async (endpoint, at) => dispatcher?.reopen(endpoint, at),
      clock,
      log: log.child({ component: 'replays' }),
    }),
    tester: new Tester({ deliverer: probes, credentials, clock, random: Math.random }),
    verifier: new Verifier({ deliverer: probes, credentials, endpoints, clock }),
    checkUrl: (url: string) => checkEndpointUrl(url, { policy, resolve }),
    openEndpoint,
    resetFailures: (appId: AppId, endpointId: EndpointId) => endpointState.forgetFailures({ appId, endpointId }),
    forgetEndpoint: (appId: AppId, endpointId: EndpointId) =>
      endpointState.forget({ appId, endpointId }, { endpoints, clock }),
    webhookStatus: (ids: readonly EndpointId[]) => endpointState.status(ids),
  }
}

export type WebhookParts = ReturnType<typeof buildWebhooks>

/** The parts of a process that sends; `services` in starting order. */
function buildEngine(
  { config, registry, log }: Base,
  records: RecordParts,
  parts: { readonly state: StateParts; readonly deliverer: Deliverer; readonly credentials: CredentialCache },
): { readonly dispatcher: Dispatcher; readonly services: readonly Service[] } {
  const { state, deliverer, credentials } = parts
  const { directory, endpoints, operatorEvents, deliveries, subscribers } = records
  const connect = () => createQueueClient(state.address)
  const shared = { events: operatorEvents, clock: systemClock }
  const dispatcher = new Dispatcher({
    ...shared,
    connect,
    eventLog: state.eventLog,
    directory,
    endpoints,
    credentials,
    deliverer,
    metrics: new WebhookMetrics(registry),
    log: log.child({ component: 'webhooks' }),
    random: Math.random,
  })
  const recorder = new Recorder({
    ...shared,
    connect,
    records: deliveries,
    metrics: new RecorderMetrics(registry),
    log: log.child({ component: 'recorder' }),
  })
  const announcer = new Announcer({
    subscribers,
    directory,
    eventLog: state.eventLog,
    log: log.child({ component: 'announcer' }),
    clock: systemClock,
  })
  const pruner = new Pruner({
    ...shared,
    records: deliveries,
    retentionMs: config.webhooks.retentionMs,
    log: log.child({ component: 'pruner' }),
  })
  const pendingLoss = new PendingLoss({ ...shared, records: deliveries, log: log.child({ component: 'pending-loss' }) })
  state.watch.onEmpty(() => pendingLoss.notice())
  return { dispatcher, services: [recorder, dispatcher, announcer, pruner, pendingLoss] }
}
