import { expect, test } from 'vitest'
import { toAppId, toEndpointId } from '../core/ids.ts'
import type { Logger } from '../core/logger.ts'
import { silentLogger } from '../core/logger.ts'
import type { NewOperatorEvent } from '../core/operator-event.ts'
import { reportToOperator } from './operator-report.ts'

const event: NewOperatorEvent = {
  type: 'webhook.backlog_full',
  appId: toAppId('app-1'),
  endpointId: toEndpointId('endpoint-1'),
  details: { pending: 7 },
}

/** A logger that keeps what it is told, with its level. */
function createLog() {
  const lines: unknown[] = []
  const at = (level: string) => (fields: object, message: string) => void lines.push({ level, message, ...fields })
  const log: Logger = { ...silentLogger, error: at('error'), warn: at('warn') }
  return { log, lines }
}

test('an operator event is logged and recorded', async () => {
  const { log, lines } = createLog()
  const recorded: NewOperatorEvent[] = []
  const events = { append: (each: NewOperatorEvent) => Promise.resolve(void recorded.push(each)) }
  expect(await reportToOperator({ events, log }, event)).toBe(true)
  expect(recorded).toEqual([event])
  expect(lines).toEqual([
    {
      level: 'error',
      message: 'operator event',
      operator_event: 'webhook.backlog_full',
      app_id: 'app-1',
      endpoint_id: 'endpoint-1',
      pending: 7,
    },
  ])
})

test('while the records are away the log has it, and nothing is thrown', async () => {
  const { log, lines } = createLog()
  const away = new Error('away')
  expect(await reportToOperator({ events: { append: () => Promise.reject(away) }, log }, event)).toBe(false)
  expect(lines).toMatchObject([
    { level: 'error', operator_event: 'webhook.backlog_full' },
    { level: 'warn', operator_event: 'webhook.backlog_full', err: away },
  ])
})
