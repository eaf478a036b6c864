/** Whom a link type has told of the end of a request or a batch, as the document's callbacks name it. */
export type CallbackTarget = {
  readonly callbackId: number
  readonly relativePath: string
  readonly service: string
  readonly serviceVersion: string
}
