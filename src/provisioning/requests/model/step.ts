/** How one scenario of a request's profile stands: `running` while the order that carries it out is open. */
export type StepState = 'waiting' | 'running' | 'done' | 'failed'
