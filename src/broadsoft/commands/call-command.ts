import type { CommandOf } from '../../core/command.ts'
import { callPath } from '../paths.ts'
import type { Exchange } from './exchange.ts'

/** Commands that are a PUT on a call with neither body nor answer (XSI Interface Specification 2020.07, p. 221-227). */
export const putOnCall = <Type extends 'answer' | 'hold' | 'resume'>(verb: 'Talk' | 'Hold'): Exchange<Type> => ({
  scope: 'call',
  toRequest: ({ subscriberId, callId }: CommandOf<'answer' | 'hold' | 'resume'>) => ({
    method: 'PUT',
    path: `${callPath(subscriberId, callId)}/${verb}`,
    isIdempotent: true,
  }),
  readResponse: () => undefined,
})
