import * as v from 'valibot'
import type { ApiResponse } from './checked-request.ts'

/** The calls of the Zipwhip document, in its order, and whether it describes them (4 to 7) or only names them (3.1.2). */
export const ZIPWHIP_CALLS = [
  { path: 'provision/eligible', isPrimary: true, needsNumber: true },
  { path: 'provision/add', isPrimary: true, needsNumber: true },
  { path: 'provision/status', isPrimary: true, needsNumber: true },
  { path: 'provision/update', isPrimary: true, needsNumber: true },
  { path: 'provision/delete', isPrimary: true, needsNumber: true },
  { path: 'provision/stop', isPrimary: false, needsNumber: false },
  { path: 'provision/unstop', isPrimary: false, needsNumber: false },
  { path: 'enum/textable', isPrimary: false, needsNumber: true },
  { path: 'enum/mobile', isPrimary: false, needsNumber: true },
  { path: 'account/get-sessionkey', isPrimary: false, needsNumber: true },
] as const
export type ZipwhipPath = (typeof ZIPWHIP_CALLS)[number]['path']

export const ZIPWHIP_BASE = '/api/20140925'

/** How a call is made: the text says it for GET, the samples do it as a form, and both can be mixed. */
export const ZIPWHIP_FORMS = ['GET', 'POST', 'POST with a query'] as const
export type ZipwhipForm = (typeof ZIPWHIP_FORMS)[number]

type Request = (
  method: string,
  path: string,
  options?: { readonly body?: string; readonly headers?: Record<string, string> },
) => Promise<ApiResponse>

export type ZipwhipAnswer = { readonly status: number; readonly headers: Headers; readonly body: Body }
type Body = v.InferOutput<typeof BodySchema>
/** Whatever an answer has; `status_code` as it stands, text or number. */
const BodySchema = v.record(v.string(), v.unknown())

/** Makes calls of the Zipwhip API; texts are sent as they are when `raw` is given. */
export async function callZipwhip(
  request: Request,
  path: ZipwhipPath,
  {
    form = 'GET',
    parameters,
    headers = {},
  }: {
    readonly form?: ZipwhipForm
    readonly parameters: Readonly<Record<string, string>>
    readonly headers?: Record<string, string>
  },
): Promise<ZipwhipAnswer> {
  const encoded = new URLSearchParams(parameters).toString()
  const isQuery = form !== 'POST'
  const target = `${ZIPWHIP_BASE}/${path}${isQuery ? `?${encoded}` : ''}`
  const answer = await request(form === 'GET' ? 'GET' : 'POST', target, {
    headers: { ...(form !== 'GET' && { 'content-type': 'application/x-www-form-urlencoded' }), ...headers },
    ...(form !== 'GET' && { body: isQuery ? '' : encoded }),
  })
  return { status: answer.status, headers: answer.headers, body: v.parse(BodySchema, answer.body) }
}
