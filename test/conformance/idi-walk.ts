import { strictEqual } from 'node:assert'
import * as v from 'valibot'
import type { ApiResponse } from '../support/checked-request.ts'
import type { IdiRig, RigEnvironment } from '../support/idi-rig.ts'
import { IDI_OPERATIONS } from './idi-operations.ts'

const Page = v.looseObject({ '@count': v.optional(v.number()), value: v.array(v.looseObject({})) })

type CallOptions = { readonly body?: unknown; readonly query?: string }

/** Calls operations by their names, holds each answer against the list, and remembers which it had. */
export class IdiWalk {
  readonly done = new Set<string>()
  readonly ids: Record<string, string | number> = {}
  readonly #rig: IdiRig
  readonly #environment: RigEnvironment

  constructor(rig: IdiRig, environment: RigEnvironment) {
    this.#rig = rig
    this.#environment = environment
  }

  /** The bodies of answers are checked against the documented schemas by the rig. */
  async call(name: string, { body, query = '' }: CallOptions = {}): Promise<ApiResponse> {
    const known = IDI_OPERATIONS.find((operation) => operation.name === name)
    if (known === undefined) throw new Error(`no operation ${name}`)
    const path = known.path.replaceAll(/\{(\w+)\}/g, (_, id: string) => String(this.ids[id] ?? `no-${id}`))
    const answer = await this.#rig.send(this.#environment, known.method, `${path}${query}`, body)
    strictEqual(answer.status, known.status, `${name}: ${JSON.stringify(answer.body)}`)
    this.done.add(name)
    return answer
  }

  /** The items of a search or a list. */
  async list(name: string, options: CallOptions = {}): Promise<readonly Readonly<Record<string, unknown>>[]> {
    return v.parse(Page, (await this.call(name, options)).body).value
  }

  /** Keeps a number of an answer as the id that later paths have. */
  keep(id: string, value: unknown): void {
    this.ids[id] = v.parse(v.pipe(v.number(), v.integer()), value)
  }
}
