import * as v from 'valibot'
import { GatewayError } from '../core/errors.ts'

const text = v.pipe(v.string(), v.minLength(1), v.maxLength(161))
const id = v.pipe(text, v.regex(/^[^/]+$/, 'must not contain a slash'))
const milliseconds = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(86_400_000))

/** A simulated user, in the control API's names. */
export const UserSchema = v.strictObject({
  user_id: id,
  number: v.pipe(v.string(), v.regex(/^\+?\d{2,20}$/, 'must be digits, with or without a leading +')),
  extension: v.optional(v.pipe(v.string(), v.regex(/^\d{2,6}$/))),
  first_name: v.optional(text, 'Test'),
  last_name: v.optional(text, 'User'),
  group_id: v.optional(id, 'group-1'),
  enterprise_id: v.optional(id, 'enterprise-1'),
  password: v.optional(text),
  /** The user's phone answers a ringing call by itself after this. */
  auto_answer_ms: v.optional(milliseconds),
  /** The user's phone hangs up so long after the answer. */
  hang_up_ms: v.optional(milliseconds),
})
export type User = v.InferOutput<typeof UserSchema>

/** Many users at once: `<prefix><n>@<domain>`, numbers from +15550000001 or `first_number` upwards. */
export const UserRangeSchema = v.strictObject({
  count: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(100_000)),
  prefix: v.optional(v.pipe(v.string(), v.regex(/^[\w.-]{1,64}$/)), 'user'),
  domain: v.optional(v.pipe(v.string(), v.regex(/^[\w.-]{1,80}$/)), 'example.net'),
  first_number: v.optional(v.pipe(v.string(), v.regex(/^\+\d{5,14}$/)), '+15550000001'),
  group_id: v.optional(id, 'group-1'),
  enterprise_id: v.optional(id, 'enterprise-1'),
  password: v.optional(text),
  auto_answer_ms: v.optional(milliseconds),
  hang_up_ms: v.optional(milliseconds),
})
export type UserRange = v.InferOutput<typeof UserRangeSchema>

const USERS_MAX = 200_000

/** The users of the simulated deployment, found by id, number and extension. */
export class Users {
  readonly #byId = new Map<string, User>()
  readonly #byNumber = new Map<string, User>()
  readonly #byExtension = new Map<string, User>()

  /** Throws GatewayError `already_exists` when the id or the number is taken. */
  add(user: User): User {
    if (this.#byId.size >= USERS_MAX) throw new GatewayError('invalid_request', { detail: 'too many users' })
    if (this.#byId.has(user.user_id)) throw taken('user_id')
    if (this.#byNumber.has(digitsOf(user.number))) throw taken('number')
    if (user.extension !== undefined && this.#byExtension.has(extensionKey(user, user.extension))) {
      throw taken('extension')
    }
    this.#byId.set(user.user_id, user)
    this.#byNumber.set(digitsOf(user.number), user)
    if (user.extension !== undefined) this.#byExtension.set(extensionKey(user, user.extension), user)
    return user
  }

  addRange(range: UserRange): readonly User[] {
    const { count, prefix, domain, first_number: first, ...common } = range
    const base = BigInt(first.slice(1))
    return Array.from({ length: count }, (_, index) =>
      this.add({
        ...common,
        user_id: `${prefix}${index + 1}@${domain}`,
        number: `+${base + BigInt(index)}`,
        first_name: 'Test',
        last_name: `User ${index + 1}`,
      }),
    )
  }

  remove(userId: string): User | undefined {
    const user = this.#byId.get(userId)
    if (user === undefined) return undefined
    this.#byId.delete(userId)
    this.#byNumber.delete(digitsOf(user.number))
    if (user.extension !== undefined) this.#byExtension.delete(extensionKey(user, user.extension))
    return user
  }

  find(userId: string): User | undefined {
    return this.#byId.get(userId)
  }

  /** Throws GatewayError `subscriber_not_found`. */
  require(userId: string): User {
    const user = this.#byId.get(userId)
    if (user === undefined) throw new GatewayError('subscriber_not_found', { fields: { user_id: userId } })
    return user
  }

  /** The user behind a dialled address (`tel:`, `sip:`, number, extension of the dialler's group, user id). */
  resolve(address: string, dialler?: User): User | undefined {
    const plain = plainAddress(address)
    const byId = this.#byId.get(plain)
    if (byId !== undefined) return byId
    const digits = digitsOf(plain)
    if (digits === '' || /[^\d+() .-]/.test(plain)) return undefined
    return (
      this.#byNumber.get(digits) ??
      (digits.length === 10 ? this.#byNumber.get(`1${digits}`) : undefined) ??
      (dialler === undefined ? undefined : this.#byExtension.get(extensionKey(dialler, digits)))
    )
  }

  list(): IterableIterator<User> {
    return this.#byId.values()
  }

  get size(): number {
    return this.#byId.size
  }
}

/** An address without scheme and parameters. */
export const plainAddress = (address: string): string => address.replace(/^(tel|sip):/i, '').replace(/;.*$/, '')

export const displayName = (user: User): string => `${user.first_name} ${user.last_name}`

const digitsOf = (number: string): string => number.replaceAll(/\D/g, '')
const extensionKey = (user: User, extension: string): string => `${user.enterprise_id}\n${user.group_id}\n${extension}`
const taken = (field: string): GatewayError =>
  new GatewayError('already_exists', { detail: `${field} is taken`, fields: { field } })
