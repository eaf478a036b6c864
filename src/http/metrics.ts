import { Histogram } from 'prom-client'
import type { Registry } from 'prom-client'

const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])

/** Durations of HTTP requests by route pattern, so that ids never become label values. */
export class HttpMetrics {
  readonly #duration: Histogram<'method' | 'route' | 'status'>

  constructor(registry: Registry) {
    this.#duration = new Histogram({
      name: 'callhalf_http_request_duration_seconds',
      help: 'Time from the request line to the answer, by route pattern',
      labelNames: ['method', 'route', 'status'],
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10],
      registers: [registry],
    })
  }

  /** `route` is the pattern, or `unmatched`. */
  observe(request: { readonly method: string; readonly route: string; readonly status: number; readonly ms: number }) {
    const method = METHODS.has(request.method) ? request.method : 'other'
    this.#duration.observe({ method, route: request.route, status: String(request.status) }, request.ms / 1000)
  }
}
