import * as v from 'valibot'
import { CallCommandFrameSchema, DialFrameSchema } from '../../src/http/stream-commands.ts'
import { FilterFrameSchema, ServerFrameSchema, SubscribeFrameSchema } from '../../src/streams/protocol.ts'

const ClientFrameSchema = v.variant('op', [
  SubscribeFrameSchema,
  FilterFrameSchema,
  CallCommandFrameSchema,
  DialFrameSchema,
])

/** A WebSocket for a client whose every message, of both sides, is held against the schemas; what is wrong is told. */
export function checkedWebSocket(onProblem: (problem: string) => void): typeof WebSocket {
  const check = (schema: v.GenericSchema, data: unknown): void => {
    const text = String(data)
    const parsed = v.safeParse(schema, JSON.parse(text))
    if (!parsed.success) onProblem(`${v.summarize(parsed.issues)} in ${text}`)
  }
  return class extends WebSocket {
    constructor(...parameters: ConstructorParameters<typeof WebSocket>) {
      super(...parameters)
      this.addEventListener('message', ({ data }) => check(ServerFrameSchema, data))
    }

    override send(data: string): void {
      check(ClientFrameSchema, data)
      super.send(data)
    }
  }
}
