import { putOnCall } from './call-command.ts'

/** XSI has no retrieve command: Talk retrieves a held call that has `allowRetrieve` (2020.07, p. 227). */
export const resume = putOnCall<'resume'>('Talk')
