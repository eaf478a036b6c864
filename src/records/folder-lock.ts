import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Logger } from '../core/logger.ts'
import type { Service } from '../core/service.ts'
import { ProcessLock } from './process-lock.ts'

/**
 * Keeps a second gateway off a folder from before anything in it is opened until everything is closed.
 * `start` rejects with `store_unavailable` while another process has it.
 */
export class FolderLock implements Service {
  readonly name = 'folder-lock'
  readonly #folder: string
  readonly #log: Logger
  #lock: ProcessLock | undefined

  constructor(options: { readonly folder: string; readonly log: Logger }) {
    this.#folder = options.folder
    this.#log = options.log
  }

  async start(): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 })
    this.#lock = await ProcessLock.acquire({
      path: join(this.#folder, 'gateway'),
      onLost: () => this.#log.error({ folder: this.#folder }, 'another process took the folder over'),
    })
  }

  async stop(): Promise<void> {
    await this.#lock?.release()
    this.#lock = undefined
  }
}
