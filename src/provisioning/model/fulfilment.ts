/**
 * `due`: nothing is under way at the provider; `sent`: a request may have been carried out, or not;
 * `accepted`: the provider has it and says how it stands; `stuck`: an operator must see to it.
 */
const FULFILMENT_STATES = ['due', 'sent', 'accepted', 'done', 'stuck'] as const
export type FulfilmentState = (typeof FULFILMENT_STATES)[number]

/** What a stuck one was before, and will be when it is resumed. */
export type ResumableState = 'due' | 'sent' | 'accepted'
