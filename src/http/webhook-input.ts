import { ENDPOINT_DEFAULTS } from '../core/endpoint.ts'
import type { Endpoint, EndpointChange, NewEndpoint, SignatureScheme, SigningKeyPair } from '../core/endpoint.ts'
import { GatewayError, isGatewayError } from '../core/errors.ts'
import type { AppId } from '../core/ids.ts'
import { invalidRequest } from '../core/parse-input.ts'
import { checkCaCertificates } from '../webhooks/ca-certificates.ts'
import { checkCustomHeaders } from '../webhooks/custom-headers.ts'
import { createSigningKey } from '../webhooks/signature.ts'
import { toMs, toPolicies } from './schemas/webhook-settings.ts'
import type { NewWebhook, WebhookChange } from './schemas/webhook.ts'

/** What it takes to turn a request about a webhook into what is recorded. */
export type WebhookInputDeps = {
  /** The URL in its canonical form; rejects with `webhook_url_refused` for one that must not be sent to. */
  readonly checkEndpointUrl: (url: string) => Promise<string>
  /** A new signing secret, `whsec_…`. */
  readonly generateSecret: () => string
  /** A new key pair for `v1a` signatures. */
  readonly generateKeyPair: () => SigningKeyPair
  /** Whether the receiver at a URL must prove that it wants what is sent there before anything is. */
  readonly requiresVerification: boolean
}

/**
 * The endpoint that a request describes, with the defaults for what it leaves out. Rejects with
 * `invalid_request` and `webhook_url_refused`, naming the field.
 */
export async function toNewEndpoint(appId: AppId, body: NewWebhook, deps: WebhookInputDeps): Promise<NewEndpoint> {
  checkParts(body)
  const [url, failoverUrl] = await Promise.all([
    checkUrl({ field: 'url', text: body.url }, deps),
    checkOptionalUrl({ field: 'failover_url', text: body.failover_url }, deps),
  ])
  const signatures: readonly SignatureScheme[] = body.signatures ?? ENDPOINT_DEFAULTS.signatures
  return {
    appId,
    url,
    ...(failoverUrl !== undefined && { failoverUrl }),
    ...(body.description !== undefined && { description: body.description }),
    ...(body.metadata !== undefined && { metadata: body.metadata }),
    ...(body.event_types !== undefined && { eventTypes: body.event_types }),
    ...(body.subscriber_ids !== undefined && { subscriberIds: body.subscriber_ids }),
    ...(body.directions !== undefined && { directions: body.directions }),
    ...(body.headers !== undefined && { headers: body.headers }),
    ...(body.retry_policies !== undefined && { policies: toPolicies(body.retry_policies) }),
    orderHoldMs: toHoldMs(body.order_hold_seconds),
    coalesce: body.coalesce ?? ENDPOINT_DEFAULTS.coalesce,
    maxInFlight: body.max_in_flight ?? ENDPOINT_DEFAULTS.maxInFlight,
    ...(body.rate_limit_per_second !== undefined && { ratePerSecond: body.rate_limit_per_second }),
    signatures,
    ...(body.ca_certificates !== undefined && { caCertificates: body.ca_certificates }),
    enabled: body.enabled ?? true,
    verified: !deps.requiresVerification,
    secret: body.secret ?? deps.generateSecret(),
    ...(signatures.includes('v1a') && { asymmetric: deps.generateKeyPair() }),
  }
}

/**
 * What a request changes of `existing`: null makes a setting as if it had never been given. Rejects like
 * {@link toNewEndpoint}, and when the values of headers would be sent to an origin that they were not given for.
 */
export async function toEndpointChange(
  body: WebhookChange,
  existing: Endpoint,
  deps: WebhookInputDeps,
): Promise<EndpointChange> {
  checkParts(body)
  const [url, failoverUrl] = await Promise.all([
    checkOptionalUrl({ field: 'url', text: body.url }, deps),
    checkOptionalUrl({ field: 'failover_url', text: body.failover_url }, deps),
  ])
  if (body.headers === undefined) checkOrigins([url, failoverUrl], existing)
  const hasNewUrl = url !== undefined || typeof failoverUrl === 'string'
  return {
    ...(url !== undefined && { url }),
    ...(failoverUrl !== undefined && { failoverUrl }),
    // The records take a new URL for unverified; where nobody has to prove anything it is as good as the last.
    ...(hasNewUrl && !deps.requiresVerification && { verified: true }),
    ...(body.description !== undefined && { description: body.description }),
    ...(body.metadata !== undefined && { metadata: body.metadata }),
    ...(body.event_types !== undefined && { eventTypes: body.event_types }),
    ...(body.subscriber_ids !== undefined && { subscriberIds: body.subscriber_ids }),
    ...(body.directions !== undefined && { directions: body.directions }),
    ...(body.headers !== undefined && { headers: body.headers ?? {} }),
    ...(body.retry_policies !== undefined && {
      policies: body.retry_policies === null ? null : toPolicies(body.retry_policies),
    }),
    ...(body.order_hold_seconds !== undefined && { orderHoldMs: toHoldMs(body.order_hold_seconds) }),
    ...(body.coalesce !== undefined && { coalesce: body.coalesce ?? ENDPOINT_DEFAULTS.coalesce }),
    ...(body.max_in_flight !== undefined && { maxInFlight: body.max_in_flight ?? ENDPOINT_DEFAULTS.maxInFlight }),
    ...(body.rate_limit_per_second !== undefined && { ratePerSecond: body.rate_limit_per_second }),
    ...signing(body, existing, deps),
    ...(body.ca_certificates !== undefined && { caCertificates: body.ca_certificates }),
    ...(body.enabled !== undefined && { enabled: body.enabled }),
  }
}

/** Throws `invalid_request` naming `secret` unless it is 24 to 64 bytes in base64; it is not repeated. */
export function checkOwnSecret(secret: string | undefined): void {
  if (secret === undefined) return
  try {
    createSigningKey(secret)
  } catch (error) {
    if (!isGatewayError(error, 'invalid_request')) throw error
    throw invalidRequest([{ field: 'secret', message: 'must be whsec_ and 24 to 64 bytes in base64' }])
  }
}

/** What no schema can express. */
function checkParts(body: {
  readonly headers?: Readonly<Record<string, string>> | null | undefined
  readonly ca_certificates?: string | null | undefined
  readonly secret?: string | undefined
}): void {
  checkOwnSecret(body.secret)
  checkCustomHeaders(body.headers ?? {})
  if (typeof body.ca_certificates === 'string') checkCaCertificates(body.ca_certificates)
}

/** Whoever may change the URL could otherwise read the values of headers, which nobody is shown. */
function checkOrigins(
  urls: readonly (string | null | undefined)[],
  { url, failoverUrl, headerNames }: Pick<Endpoint, 'url' | 'failoverUrl' | 'headerNames'>,
): void {
  if (headerNames.length === 0) return
  const known = [url, failoverUrl].map(originOf)
  if (urls.every((text) => typeof text !== 'string' || known.includes(originOf(text)))) return
  throw invalidRequest([{ field: 'headers', message: 'must be given again, or be {}, with a URL of another origin' }])
}

const originOf = (url: string | undefined): string | undefined => url && new URL(url).origin

const toHoldMs = (seconds: number | null | undefined): number =>
  typeof seconds === 'number' ? toMs(seconds) : ENDPOINT_DEFAULTS.orderHoldMs

type UrlField<Text> = { readonly field: 'url' | 'failover_url'; readonly text: Text }

/** The URL in its canonical form. */
async function checkUrl({ field, text }: UrlField<string>, { checkEndpointUrl }: WebhookInputDeps): Promise<string> {
  try {
    return await checkEndpointUrl(text)
  } catch (error) {
    if (!isGatewayError(error, 'webhook_url_refused')) throw error
    const { detail, fields } = error
    const shown = { ...(detail !== undefined && { detail }), fields: { ...fields, field } }
    throw new GatewayError('webhook_url_refused', { ...shown, cause: error })
  }
}

async function checkOptionalUrl<Absent extends null | undefined>(
  { field, text }: UrlField<string | Absent>,
  deps: WebhookInputDeps,
): Promise<string | Absent> {
  return typeof text === 'string' ? checkUrl({ field, text }, deps) : text
}

function signing(
  { signatures }: WebhookChange,
  existing: Endpoint,
  { generateKeyPair }: WebhookInputDeps,
): Pick<EndpointChange, 'signatures' | 'asymmetric'> {
  if (signatures === undefined) return {}
  const wanted: readonly SignatureScheme[] = signatures ?? ENDPOINT_DEFAULTS.signatures
  const needsKeys = wanted.includes('v1a') && existing.publicKey === undefined
  return { signatures: wanted, ...(needsKeys && { asymmetric: generateKeyPair() }) }
}
