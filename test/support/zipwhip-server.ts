import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** What it does with the next requests that change something, instead of what it should. */
export type ZipwhipMischief =
  /** Never answers, and does nothing. */
  | 'lose_request'
  /** Does it, and never answers. */
  | 'lose_answer'
  /** Answers this instead. */
  | { readonly status: number; readonly headers?: Readonly<Record<string, string>>; readonly body: string }

type Line = { readonly org: string; readonly vendorId: string | undefined; readonly activeAt: number }

/** A server that does what "Provision Phone Numbers" (version 1.0) says, for adapters to be tried against. */
export type ZipwhipServer = {
  /** With the version. */
  readonly baseUrl: URL
  /** As they came, newest last. */
  readonly requests: { readonly method: string; readonly path: string; readonly parameters: URLSearchParams }[]
  readonly lines: Map<string, Line>
  misbehave(mischief: ZipwhipMischief, requests: number): void
  /** Answers to a request of any operation, whatever it is. */
  answerWith(answer: Extract<ZipwhipMischief, object> | undefined): void
  behave(): void
  stop(): Promise<void>
}

const VERSION = '/api/20140925/'

/** `keys` has the organisation of each key; a line is active `activationMs` after it was added. */
export async function startZipwhipServer(options: {
  readonly keys: Readonly<Record<string, string>>
  readonly activationMs: number
}): Promise<ZipwhipServer> {
  const lines = new Map<string, Line>()
  const requests: ZipwhipServer['requests'] = []
  let mischief: { readonly kind: ZipwhipMischief; left: number } | undefined
  let fixed: Extract<ZipwhipMischief, object> | undefined
  const hanging = new Set<ServerResponse>()

  async function answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const url = new URL(req.url ?? '/', 'http://localhost')
    const parameters = req.method === 'POST' ? new URLSearchParams(await readText(req)) : url.searchParams
    const operation = url.pathname.replace(`${VERSION}provision/`, '')
    requests.push({ method: req.method ?? '', path: url.pathname, parameters })
    if (fixed !== undefined) return reply(res, fixed)
    const org = options.keys[parameters.get('api_key') ?? '']
    if (org === undefined) return reply(res, { status: 401, body: envelope(401, 'Invalid api_key', { error: 'true' }) })
    const isChange = operation === 'add' || operation === 'update' || operation === 'delete'
    const now = isChange && mischief !== undefined && mischief.left > 0 ? mischief : undefined
    if (now !== undefined) now.left -= 1
    if (now?.kind === 'lose_request') return void hanging.add(res)
    if (typeof now?.kind === 'object') return reply(res, now.kind)
    const body = act(operation, parameters, org)
    if (now?.kind === 'lose_answer') return void hanging.add(res)
    reply(res, { status: body === undefined ? 404 : 200, body: body ?? 'no such call' })
  }

  function act(operation: string, parameters: URLSearchParams, org: string): string | undefined {
    const number = parameters.get('phone_number')?.trim() ?? ''
    const line = lines.get(number)
    const code = codeOf(number, line?.org, org)
    switch (operation) {
      case 'eligible':
        // As in 4.1.2: a number, and no description.
        return code.number === 100
          ? JSON.stringify({ eligible: 'true', error: 'false', status_code: 100, transaction_id: randomUUID() })
          : envelope(code.number, code.text, { eligible: 'false' })
      case 'add':
        if (code.number !== 100) return envelope(code.number, code.text)
        lines.set(number, {
          org,
          vendorId: parameters.get('vendor_customer_id') ?? undefined,
          activeAt: Date.now() + options.activationMs,
        })
        return envelope(100, 'Successful Request', { effective_date: nowText(), password: 'abcabc123' })
      case 'status':
        if (line?.org !== org) return NOT_ASSIGNED
        return envelope(100, 'Successful Request', {
          account_status: line.activeAt <= Date.now() ? 'provisioned' : 'Pending Activation',
          last_updated: nowText(),
        })
      case 'update':
        if (line?.org !== org) return NOT_ASSIGNED
        lines.set(number, { ...line, vendorId: parameters.get('vendor_customer_id') ?? line.vendorId })
        // As in 6.1.2: with a space at the end.
        return envelope(100, 'Successful Request ', { effective_date: nowText() })
      case 'delete':
        if (line?.org !== org) return NOT_ASSIGNED
        lines.delete(number)
        return envelope(100, 'Successful Request', { effective_date: nowText() })
      default:
        return undefined
    }
  }

  const server = createServer((req, res) => {
    answer(req, res).catch(() => res.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- it listens on a port
  const { port } = server.address() as AddressInfo
  return {
    baseUrl: new URL(`http://127.0.0.1:${port}${VERSION.slice(0, -1)}`),
    requests,
    lines,
    misbehave: (kind, left) => {
      mischief = { kind, left }
    },
    answerWith: (given) => {
      fixed = given
    },
    behave: () => {
      mischief = undefined
      fixed = undefined
      for (const res of hanging) res.destroy()
      hanging.clear()
    },
    stop: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** Section 4.1; a number of the area 555-01xx that ends in 88 is a mobile phone's. */
function codeOf(number: string, owner: string | undefined, org: string): { number: number; text: string } {
  if (/5550\d88$/.test(number)) return { number: 111, text: 'Ineligible - Mobile Number' }
  if (owner === undefined) return { number: 100, text: 'Successful Request' }
  return owner === org
    ? { number: 113, text: 'Ineligible - Number already provisioned by your Org' }
    : { number: 112, text: 'Ineligible - Number already provisioned by another Org' }
}

/** The document names this result and gives it no code. */
const NOT_ASSIGNED = envelope(404, 'Number not assigned to your organization', { error: 'true' })

function envelope(code: number, text: string, more: Readonly<Record<string, string>> = {}): string {
  const transaction = { transaction_id: randomUUID(), status_code: String(code), status_desc: text }
  return JSON.stringify({ ...transaction, error: 'false', ...more })
}

const nowText = (): string => new Date().toISOString().replace(/\.\d+Z$/, '+00:00')

function reply(res: ServerResponse, { status, headers, body }: Extract<ZipwhipMischief, object>): void {
  res.writeHead(status, { 'content-type': 'application/json', ...headers }).end(body)
}

async function readText(req: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of req) text += String(chunk)
  return text
}
