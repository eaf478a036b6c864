/** Of the gateway and of all that is part of it, as in package.json. */
export const VERSION = '0.1.0'
