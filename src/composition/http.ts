import * as v from 'valibot'
import { CallControl } from '../control/call-control.ts'
import { systemClock } from '../core/clock.ts'
import { ShardSchema } from '../core/ids.ts'
import type { Service } from '../core/service.ts'
import { createHttpApp } from '../http/app.ts'
import { Authenticator } from '../http/authentication.ts'
import { CertificateWatch } from '../http/certificate.ts'
import { HttpServer, type HttpServerOptions } from '../http/server.ts'
import { StreamAuthenticator } from '../http/stream-authentication.ts'
import { StreamCommands } from '../http/stream-commands.ts'
import type { Readiness } from '../readiness.ts'
import { Hub } from '../streams/hub.ts'
import { StreamMetrics } from '../streams/metrics.ts'
import { Pace } from '../streams/pace.ts'
import { StreamTokens } from '../streams/tokens.ts'
import { generateKeyPair } from '../webhooks/asymmetric-signature.ts'
import { generateSecret } from '../webhooks/signature.ts'
import type { Base } from './base.ts'
import type { NetworkParts } from './networks.ts'
import type { ProvisioningParts } from './provisioning.ts'
import type { RecordParts } from './records.ts'
import type { StateParts } from './state.ts'
import type { WebhookParts } from './webhooks.ts'

const DEFAULT_SHARD = v.parse(ShardSchema, 'main')

/** The streams and the HTTP server; `services` in starting order. */
export function buildHttp(
  { config, secrets, registry, log }: Base,
  parts: {
    readonly records: RecordParts
    readonly state: StateParts
    readonly networks: NetworkParts
    readonly webhooks: WebhookParts
    readonly provisioning: ProvisioningParts
    readonly readiness: Readiness
  },
) {
  const { records, state, networks, webhooks, provisioning, readiness } = parts
  const { apps, directory } = records
  const shared = { directory, apps }
  const calls = new CallControl({
    directory,
    calls: state.calls,
    networks: networks.supervisor,
    idempotency: records.idempotency,
    clock: systemClock,
    log: log.child({ component: 'call-control' }),
  })
  const hub = buildHub({ config, registry, log }, { directory, state, calls })
  const tokens = new StreamTokens(state.streamTokens)
  const authenticator = new Authenticator({
    ...shared,
    provisioningKeys: provisioning.keys,
    adminKey: secrets.adminKey,
  })
  const streamAuthenticator = new StreamAuthenticator({
    ...shared,
    authenticator,
    tokens,
    origins: config.streams.origins,
  })
  const streams = { hub, authenticator: streamAuthenticator, tokens }
  const httpLog = log.child({ component: 'http' })
  const servesApi = config.roles.has('http')
  const app = createHttpApp({
    servesApi,
    authenticator,
    calls,
    apps,
    networks: records.networks,
    networkControl: networks.supervisor,
    subscribers: records.subscribers,
    ...webhookPorts(records, webhooks),
    requiresVerification: config.webhooks.requiresVerification,
    streams,
    faces: provisioning.faces,
    readiness: () => readiness.current(),
    registry,
    defaultShard: DEFAULT_SHARD,
    clock: systemClock,
    log: httpLog,
  })
  return {
    hub,
    ...buildServer({ config, registry, log: httpLog }, { fetch: app.fetch, streams, acceptsStreams: servesApi }),
  }
}

/** The server, and before it in `services` what it needs to be started. */
function buildServer(
  { config, registry, log }: Omit<Base, 'secrets'>,
  parts: Pick<HttpServerOptions, 'fetch' | 'streams' | 'acceptsStreams'>,
): { readonly server: HttpServer; readonly services: readonly Service[] } {
  const { tls, ...address } = config.http
  const shared = {
    ...parts,
    ...address,
    drainDelayMs: config.shutdown.drainDelayMs,
    closingPace: new Pace(systemClock),
    log,
  }
  if (tls === undefined) {
    const server = new HttpServer(shared)
    return { server, services: [server] }
  }
  const certificate = new CertificateWatch({ files: tls, registry, clock: systemClock, log })
  const server = new HttpServer({ ...shared, certificate })
  return { server, services: [certificate, server] }
}

/** What managing webhooks asks for. */
const webhookPorts = (records: RecordParts, webhooks: WebhookParts) => ({
  endpoints: records.endpoints,
  checkEndpointUrl: webhooks.checkUrl,
  generateSecret,
  generateKeyPair,
  openEndpoint: webhooks.openEndpoint,
  resetFailures: webhooks.resetFailures,
  forgetEndpoint: webhooks.forgetEndpoint,
  webhookStatus: webhooks.webhookStatus,
  deliveries: records.deliveries,
  operatorEvents: records.operatorEvents,
  replayer: webhooks.replayer,
  tester: webhooks.tester,
  verifier: webhooks.verifier,
})

function buildHub(
  { config, registry, log }: Pick<Base, 'config' | 'registry' | 'log'>,
  parts: {
    readonly directory: RecordParts['directory']
    readonly state: StateParts
    readonly calls: CallControl
  },
): Hub {
  const { directory, state, calls } = parts
  return new Hub({
    log: state.eventLog,
    calls: state.calls,
    directory,
    metrics: new StreamMetrics(registry),
    logger: log.child({ component: 'streams' }),
    clock: systemClock,
    random: Math.random,
    commands: new StreamCommands({ calls, clock: systemClock, log: log.child({ component: 'stream-commands' }) }),
    limits: { streamsPerAppMax: config.streams.perAppMax },
  })
}
