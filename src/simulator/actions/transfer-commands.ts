import { OK } from '../reply.ts'
import type { Reply } from '../reply.ts'
import type { Route, XspRequest } from '../route.ts'
import { addressOf, callCommand, callStarted, halfOf, missing } from './call-commands.ts'

/** Transfers (XSI Interface Specification 2020.07, pp. 213–227). */
export const transferRoutes: readonly Route[] = [
  callCommand('blindtransfer', (request, half) => {
    const address = addressOf(request)
    if (address === undefined) return missing('address')
    request.backend.transfers.blind(half, address)
    return OK
  }),
  callCommand('vmtransfer', (request, half) => request.backend.transfers.toVoiceMail(half, addressOf(request))),
  callCommand('mutetransfer', (request, half) => {
    const address = addressOf(request)
    if (address === undefined) return missing('address')
    return callStarted(request, request.backend.transfers.mute(half, address), 200)
  }),
  {
    context: 'actions',
    method: 'PUT',
    path: 'user/:userId/calls/:callId/consulttransfer/:consultedId',
    run: consultTransfer,
  },
]

function consultTransfer(request: XspRequest): Reply {
  request.backend.transfers.consult(halfOf(request), halfOf(request, 'consultedId'))
  return OK
}
