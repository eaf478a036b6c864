import { parentPort, workerData } from 'node:worker_threads'
import { PGlite } from '@electric-sql/pglite'
import { INT8_OID, parseInt8 } from './pg-values.ts'
import type { PgliteFailure, PgliteRequest, PgliteResponse, PgliteWorkerData } from './pglite-protocol.ts'

/**
 * The thread that PGlite runs in: WebAssembly would otherwise stall the sockets for as long as a query
 * takes. This file is the worker's entry point, so it works at import; nothing else imports it.
 */
async function serve(): Promise<void> {
  const port = parentPort
  if (port === null) return
  const answer = (response: PgliteResponse): void => port.postMessage(response)
  const { dataDir }: PgliteWorkerData = workerData
  const pglite = await PGlite.create({ dataDir, parsers: { [INT8_OID]: parseInt8 } })

  const handle = async (request: PgliteRequest): Promise<void> => {
    if (request.type === 'close') {
      await pglite.close()
      answer({ type: 'closed', id: request.id })
      port.close()
      return
    }
    const { rows, affectedRows } = await pglite.query<never>(request.sql, [...request.parameters])
    answer({ type: 'result', id: request.id, rows, affectedRows })
  }

  let turn = Promise.resolve()
  port.on('message', (request: PgliteRequest) => {
    turn = turn
      .then(() => handle(request))
      .catch((error: unknown) => answer({ type: 'failure', id: request.id, error: describeFailure(error) }))
  })
  answer({ type: 'ready' })
}

function describeFailure(error: unknown): PgliteFailure {
  const field = (name: string): string | undefined => {
    const value: unknown = typeof error === 'object' && error !== null ? Reflect.get(error, name) : undefined
    return typeof value === 'string' ? value : undefined
  }
  return { message: field('message') ?? String(error), code: field('code'), constraint: field('constraint') }
}

await serve()
