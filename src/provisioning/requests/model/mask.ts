/** What is shown in place of every secret. */
export const MASK = '********'
