import { isConnected } from './call-half.ts'
import type { CallHalf } from './call-half.ts'
import { conflict } from './call-register.ts'
import type { CallModel } from './calls.ts'
import type { LiveSettings } from './settings.ts'

/**
 * Recording of calls on demand. A command that changes nothing is accepted and has no event
 * (XSI Interface Specification 2020.07, pp. 222–226).
 */
export class Recordings {
  readonly #model: CallModel
  readonly #settings: LiveSettings

  constructor(model: CallModel, settings: LiveSettings) {
    this.#model = model
    this.#settings = settings
  }

  start(half: CallHalf): void {
    if (!isConnected(half)) throw conflict(half, 'it is not connected')
    if (half.recording !== undefined) return
    half.recording = 'Pending'
    this.#model.notify('CallRecordingStartingEvent', half)
    this.#model.setTimer(half, 'recording', this.#settings.current.recordingStartMs, () => {
      half.recording = 'Started'
      half.wasRecorded = true
      this.#model.notify('CallRecordingStartedEvent', half)
    })
  }

  pause(half: CallHalf): void {
    if (half.recording === 'Paused') return
    if (half.recording !== 'Started') throw conflict(half, 'it is not being recorded')
    half.recording = 'Paused'
    this.#model.notify('CallRecordingPausedEvent', half)
  }

  resume(half: CallHalf): void {
    if (half.recording === 'Started') return
    if (half.recording !== 'Paused') throw conflict(half, 'its recording is not paused')
    half.recording = 'Started'
    this.#model.notify('CallRecordingResumedEvent', half)
  }

  stop(half: CallHalf): void {
    if (half.recording === undefined) return
    half.timers.get('recording')?.()
    half.recording = undefined
    this.#model.notify('CallRecordingStoppedEvent', half, { recordingStopped: 'User Requested' })
  }
}
