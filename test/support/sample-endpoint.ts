import { randomUUID } from 'node:crypto'
import type { Endpoint } from '../../src/core/endpoint.ts'
import { ENDPOINT_DEFAULTS } from '../../src/core/endpoint.ts'
import { toAppId, toEndpointId } from '../../src/core/ids.ts'

/** An enabled and verified endpoint with defaults. */
export const createEndpoint = (endpoint: Partial<Endpoint> & Pick<Endpoint, 'url'>): Endpoint => ({
  endpointId: toEndpointId(randomUUID()),
  appId: toAppId('app-1'),
  ...ENDPOINT_DEFAULTS,
  enabled: true,
  verified: true,
  headerNames: [],
  createdAt: 0,
  updatedAt: 0,
  ...endpoint,
})
