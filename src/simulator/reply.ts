import { isGatewayError } from '../core/errors.ts'
import { XSI_NAMESPACE, element } from './xml.ts'
import type { XmlElement } from './xml.ts'

/** What an XSP answers, before it is written as XML or JSON. */
export type Reply = {
  readonly status: number
  readonly document?: XmlElement
  /** A body that is no XSI document. */
  readonly html?: string
  readonly headers?: Readonly<Record<string, string>>
  /** The document is written in ISO-8859-1, as everything in the user's locale often is. */
  readonly isLatin1?: boolean
  /** Runs once the reply has been handed to the socket. */
  readonly afterwards?: () => void
}

/** A root element in the XSI namespace. */
export const rootElement = (name: string, children: readonly (XmlElement | undefined)[]): XmlElement =>
  element(name, children, { attributes: { xmlns: XSI_NAMESPACE } })

/** The same element as a root in the XSI namespace. */
export const asRoot = (node: XmlElement): XmlElement => ({
  ...node,
  attributes: { xmlns: XSI_NAMESPACE, ...node.attributes },
})

export const OK: Reply = { status: 200 }

/** The numbers of `errorCode`. Three are known from the field; the 1104xx are our own. */
export const ERROR_CODES = {
  channelSetUnknown: 110_842,
  subscriptionUnknown: 110_862,
  userUnknown: 4_008,
  badRequest: 110_400,
  unauthorised: 110_401,
  forbidden: 110_403,
  notFound: 110_404,
  wrongMethod: 110_405,
  conflict: 110_409,
  overload: 110_503,
} as const

/** An `ErrorInfo` document (XSD XSIDataTypes: summary, summaryEnglish, errorCode). */
export const errorReply = (
  status: number,
  error: { readonly code: number; readonly summary: string; readonly headers?: Readonly<Record<string, string>> },
): Reply => ({
  status,
  document: rootElement('ErrorInfo', [
    element('summary', error.summary),
    element('summaryEnglish', error.summary),
    element('errorCode', error.code),
  ]),
  ...(error.headers === undefined ? {} : { headers: error.headers }),
})

/** The reply for an error thrown by the model. */
export function replyOfError(error: unknown): Reply {
  if (isGatewayError(error, 'subscriber_not_found')) {
    return errorReply(404, { code: ERROR_CODES.userUnknown, summary: '[Error 4008] User not found' })
  }
  if (isGatewayError(error, 'call_not_found')) {
    return errorReply(404, { code: ERROR_CODES.notFound, summary: 'The call does not exist' })
  }
  if (isGatewayError(error, 'call_state_conflict')) {
    return errorReply(403, { code: ERROR_CODES.conflict, summary: error.message })
  }
  if (isGatewayError(error, 'too_many_requests')) {
    return errorReply(503, { code: ERROR_CODES.overload, summary: error.message })
  }
  if (isGatewayError(error)) return errorReply(400, { code: ERROR_CODES.badRequest, summary: error.message })
  return errorReply(500, { code: 110_500, summary: 'Internal error' })
}

/** The overload page of the platform: 961 bytes and no XML, as seen in the field. */
export function overloadPage(): string {
  const start = '<html><head><title>503 Service Unavailable</title></head><body><h1>Service Unavailable</h1><p>'
  const end = '</p></body></html>\n'
  return (
    start +
    'The server is temporarily unable to service your request. '.repeat(20).slice(0, 961 - start.length - end.length) +
    end
  )
}
