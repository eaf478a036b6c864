import { putOnCall } from './call-command.ts'

/** Holds an active call (XSI Interface Specification 2020.07, p. 221). */
export const hold = putOnCall<'hold'>('Hold')
