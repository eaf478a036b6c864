/** A telephone number as ITU-T E.164 has it, with the plus; none that is in use has fewer than seven digits. */
export const E164 = /^\+[1-9]\d{6,14}$/
