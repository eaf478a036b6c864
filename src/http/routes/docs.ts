import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import type { Hono } from 'hono'
import type { HttpEnv } from '../context.ts'
import type { DefineOperation } from '../operation.ts'

/** Swagger UI sets styles on elements and inlines its icons; scripts are only our own files. */
const PAGE_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Callhalf API</title>
<link rel="icon" href="/docs/favicon-32x32.png">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="docs"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
`

/**
 * No validator: its badge would ask another host. Sections are closed: drawing every operation at once keeps a
 * browser busy for ten seconds.
 */
const START_SCRIPT = `SwaggerUIBundle({
  url: '/openapi.json',
  dom_id: '#docs',
  deepLinking: true,
  docExpansion: 'none',
  validatorUrl: null,
  persistAuthorization: false,
  defaultModelsExpandDepth: 0,
})
`

/** The files of swagger-ui-dist that the page needs, and their types; nothing else of it is served. */
const FILES = {
  'swagger-ui.css': 'text/css; charset=utf-8',
  'swagger-ui-bundle.js': 'text/javascript; charset=utf-8',
  'favicon-32x32.png': 'image/png',
} as const

const CACHE = 'public, max-age=3600'

/** The API description as a page, all of it from this server. */
export function addDocsRoutes(app: Hono<HttpEnv>, define: DefineOperation): void {
  app.get(
    '/docs',
    definePage(define, 'getDocs', 'text/html; charset=utf-8', () => PAGE),
  )
  app.get(
    '/docs/start.js',
    definePage(define, 'getDocsScript', 'text/javascript; charset=utf-8', () => START_SCRIPT),
  )
  for (const [name, mediaType] of Object.entries(FILES)) {
    app.get(`/docs/${name}`, definePage(define, 'getDocsFile', mediaType, readOnce(name)))
  }
}

type Content = string | Uint8Array<ArrayBuffer>

const definePage = (
  define: DefineOperation,
  operationId: string,
  mediaType: string,
  content: () => Promise<Content> | Content,
) =>
  define(
    {
      operationId,
      tag: 'Operation',
      summary: 'This description as a page',
      access: 'open',
      isHidden: operationId !== 'getDocs',
      responses: { 200: { description: 'A page', mediaType } },
    },
    async () => ({
      status: 200,
      text: await content(),
      headers: { 'content-type': mediaType, 'content-security-policy': PAGE_POLICY, 'cache-control': CACHE },
    }),
  )

/** The file's bytes, read at the first request and kept: the package does not change while we run. */
function readOnce(name: string): () => Promise<Content> {
  let content: Promise<Content> | undefined
  return () => {
    content ??= readFile(fileURLToPath(import.meta.resolve(`swagger-ui-dist/${name}`))).catch((error: unknown) => {
      content = undefined
      throw error
    })
    return content
  }
}
