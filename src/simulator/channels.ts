import { channelTerminatedDocument } from './events.ts'
import type { LiveSettings } from './settings.ts'
import type { StreamWriter } from './stream-writer.ts'
import { NEVER_SECONDS } from './subscriptions.ts'
import type { Cancel, Timers } from './timers.ts'

/** Why a channel was ended by the server (XSD `ChannelTerminatedReason`). */
export type TerminationReason =
  | 'DuplicateChannelSet'
  | 'UserDeleted'
  | 'NonResponsiveChannel'
  | 'ExplicitDelete'
  | 'Expired'
  | 'UnknownChannel'
export const TERMINATION_REASONS = [
  'DuplicateChannelSet',
  'UserDeleted',
  'NonResponsiveChannel',
  'ExplicitDelete',
  'Expired',
  'UnknownChannel',
] as const satisfies readonly TerminationReason[]

/** One event stream: bound to one TCP connection at one XSP. */
export type Channel = {
  readonly id: string
  readonly ownerId: string
  readonly channelSetId: string
  readonly applicationId: string | undefined
  readonly priority: number
  readonly weight: number
  readonly xspIndex: number
  readonly stream: StreamWriter
  readonly openedAt: number
  lastHeartbeatAt: number
  expiresAt: number
  cancelExpiry: Cancel
  cancelHeartbeat: Cancel
}

export type ChannelsOptions = {
  readonly timers: Timers
  readonly settings: LiveSettings
  readonly random: () => number
  readonly newId: () => string
}

export type ChannelListener = { opened(channel: Channel): void; closed(channel: Channel): void }

type NewChannel = Pick<
  Channel,
  'ownerId' | 'channelSetId' | 'applicationId' | 'priority' | 'weight' | 'xspIndex' | 'stream'
> & { readonly grantedSeconds: number }

/** A channel set belongs to its owner: others may use the same name. */
export const setKeyOf = (ownerId: string, channelSetId: string): string => `${ownerId}\n${channelSetId}`

/** The open channels, in their sets. */
export class Channels {
  readonly #options: ChannelsOptions
  readonly #byId = new Map<string, Channel>()
  readonly #sets = new Map<string, Set<Channel>>()
  /** When a set got its first channel, for the XSPs that do not know of it yet. */
  readonly #firstOpenedAt = new Map<string, number>()
  #listener: ChannelListener = { opened: () => undefined, closed: () => undefined }

  constructor(options: ChannelsOptions) {
    this.#options = options
  }

  listen(listener: ChannelListener): void {
    this.#listener = listener
  }

  /** A new id, given out before the channel exists because the first document states it. */
  newChannelId(): string {
    return this.#options.newId()
  }

  /** Opens a channel; another set of the same owner and application is ended by that. */
  open(id: string, wanted: NewChannel): Channel {
    const { grantedSeconds, ...rest } = wanted
    if (rest.applicationId !== undefined) this.#endDuplicates(rest)
    const now = this.#options.timers.now()
    const channel: Channel = {
      ...rest,
      id,
      openedAt: now,
      lastHeartbeatAt: now,
      expiresAt: Number.POSITIVE_INFINITY,
      cancelExpiry: () => undefined,
      cancelHeartbeat: () => undefined,
    }
    this.#byId.set(id, channel)
    const key = setKeyOf(channel.ownerId, channel.channelSetId)
    const set = this.#sets.get(key)
    if (set === undefined) {
      this.#sets.set(key, new Set([channel]))
      this.#firstOpenedAt.set(key, now)
    } else set.add(channel)
    this.refresh(channel, grantedSeconds)
    this.heartbeat(channel)
    this.#listener.opened(channel)
    return channel
  }

  find(id: string): Channel | undefined {
    return this.#byId.get(id)
  }

  list(): IterableIterator<Channel> {
    return this.#byId.values()
  }

  inSet(setKey: string): readonly Channel[] {
    return [...(this.#sets.get(setKey) ?? [])]
  }

  /** How long ago the set's first channel was opened; undefined when it has none. */
  ageOfSet(setKey: string): number | undefined {
    const openedAt = this.#firstOpenedAt.get(setKey)
    return openedAt === undefined ? undefined : this.#options.timers.now() - openedAt
  }

  refresh(channel: Channel, grantedSeconds: number): void {
    channel.cancelExpiry()
    if (grantedSeconds === NEVER_SECONDS) {
      channel.expiresAt = Number.POSITIVE_INFINITY
      return
    }
    channel.expiresAt = this.#options.timers.now() + grantedSeconds * 1000
    channel.cancelExpiry = this.#options.timers.after(grantedSeconds * 1000, () => this.terminate(channel, 'Expired'))
  }

  /** Starts the time anew that a channel may go without a heartbeat. */
  heartbeat(channel: Channel): void {
    channel.cancelHeartbeat()
    channel.lastHeartbeatAt = this.#options.timers.now()
    channel.cancelHeartbeat = this.#options.timers.after(this.#options.settings.current.eventTimeoutMs, () =>
      this.terminate(channel, 'NonResponsiveChannel'),
    )
  }

  /** The channel for an event: lowest priority number first, by weight among equals. */
  pick(setKey: string, tried: ReadonlySet<string>): Channel | undefined {
    const open = this.inSet(setKey)
    if (open.length === 1) return open[0]
    const untried = open.filter((channel) => !tried.has(channel.id))
    const candidates = untried.length > 0 ? untried : open
    const best = Math.min(...candidates.map((channel) => channel.priority))
    const equals = candidates.filter((channel) => channel.priority === best)
    const total = equals.reduce((sum, channel) => sum + channel.weight, 0)
    let left = this.#options.random() * total
    for (const channel of equals) {
      left -= channel.weight
      if (left < 0) return channel
    }
    return equals.at(-1)
  }

  /** Ends a channel with a farewell and closes its stream. */
  terminate(channel: Channel, reason: TerminationReason): void {
    if (!this.#byId.has(channel.id)) return
    const { oldAttributeOrder } = this.#options.settings.current
    channel.stream.writeDocument(channelTerminatedDocument(channel.id, reason, oldAttributeOrder))
    channel.stream.end()
    this.close(channel)
  }

  /** Breaks a channel's connection without a farewell. */
  drop(channel: Channel): void {
    channel.stream.destroy()
    this.close(channel)
  }

  /** Forgets a channel whose connection has ended. */
  close(channel: Channel): void {
    if (!this.#byId.delete(channel.id)) return
    channel.cancelExpiry()
    channel.cancelHeartbeat()
    const key = setKeyOf(channel.ownerId, channel.channelSetId)
    const set = this.#sets.get(key)
    set?.delete(channel)
    if (set?.size === 0) {
      this.#sets.delete(key)
      this.#firstOpenedAt.delete(key)
    }
    this.#listener.closed(channel)
  }

  secondsLeft(channel: Channel): number {
    if (channel.expiresAt === Number.POSITIVE_INFINITY) return NEVER_SECONDS
    return Math.max(0, Math.round((channel.expiresAt - this.#options.timers.now()) / 1000))
  }

  #endDuplicates(wanted: Pick<Channel, 'ownerId' | 'applicationId' | 'channelSetId'>): void {
    for (const channel of this.#byId.values()) {
      const isDuplicate =
        channel.ownerId === wanted.ownerId &&
        channel.applicationId === wanted.applicationId &&
        channel.channelSetId !== wanted.channelSetId
      if (isDuplicate) this.terminate(channel, 'DuplicateChannelSet')
    }
  }
}
