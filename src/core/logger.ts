/**
 * The part of pino's interface that is used. The message is a constant in lower case; data goes into
 * fields. Never pass a secret, an `Authorization` header or a full number.
 */
export interface Logger {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
  child(bindings: object): Logger
}

/** Says nothing; for tests and command-line tools. */
export const silentLogger: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => silentLogger,
}
