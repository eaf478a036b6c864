import type { IncomingMessage } from 'node:http'
import type { Context } from './route.ts'

/** The headers that every answer of an XSP has (seen in the field). */
export function commonHeaders(
  message: IncomingMessage,
  from: { readonly context: Context; readonly xspIndex: number; readonly newId: () => string },
): Record<string, string> {
  const tracking = message.headers['trackingid']
  const path = from.context === 'actions' ? '/com.broadsoft.xsi-actions' : '/com.broadsoft.xsi-events'
  const node = `.xsp${from.xspIndex + 1}`
  const isSticky = /JSESSIONID=([^;]*)/.exec(message.headers.cookie ?? '')?.[1]?.endsWith(node) === true
  const secure = 'encrypted' in message.socket ? '; Secure' : ''
  return {
    TrackingID: typeof tracking === 'string' ? tracking : `NA_${from.newId()}`,
    'X-Frame-Options': 'SAMEORIGIN',
    'X-Content-Type-Options': 'nosniff',
    'X-XSS-Protection': '1; mode=block',
    ...(isSticky ? {} : { 'Set-Cookie': `JSESSIONID=${from.newId()}${node}; Path=${path}${secure}; HttpOnly` }),
    Expires: 'Thu, 01 Jan 1970 00:00:00 GMT',
    ...(from.context === 'actions' ? { 'Cache-Control': 'no-cache, no-store', Pragma: 'no-cache' } : {}),
    Server: 'HTTP Server',
  }
}
