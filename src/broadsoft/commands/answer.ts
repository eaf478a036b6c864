import { putOnCall } from './call-command.ts'

/** XSI has no answer command: Talk answers a ringing call that has `allowAnswer` (2020.07, p. 227). */
export const answer = putOnCall<'answer'>('Talk')
