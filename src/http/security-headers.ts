/**
 * Sent with every answer. An API answer is never a document: nothing may be loaded by it, framed, or
 * kept by a cache. Pages (`/docs`) replace the content security policy by their own.
 */
export const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
}
