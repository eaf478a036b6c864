import { afterAll, beforeAll, beforeEach } from 'vitest'
import type { ApiResponse } from './checked-request.ts'
import { IdiRig, type RigEnvironment } from './idi-rig.ts'
import type { StoreName } from './records.ts'

/** What tests of the IDI API have: an API that they share, and in it an environment that is new to each. */
type IdiScene = {
  readonly rig: IdiRig
  readonly environment: RigEnvironment
  /** From here on the environment is another new one. */
  readonly change: () => Promise<void>
  /** Sends a request to the environment; `path` is what follows `api/`. */
  readonly send: (method: string, path: string, body?: unknown) => Promise<ApiResponse>
}

/** For the tests of a `describe`; there is nothing in it outside of them and their hooks. */
export function useIdiScene(store: StoreName): IdiScene {
  let rig: IdiRig
  let environment: RigEnvironment
  beforeAll(async () => {
    rig = await IdiRig.start({ store })
  })
  afterAll(() => rig.stop())
  const change = async () => {
    environment = await rig.addEnvironment()
  }
  beforeEach(change)
  return {
    get rig() {
      return rig
    },
    get environment() {
      return environment
    },
    change,
    send: (method, path, body) => rig.send(environment, method, path, body),
  }
}
