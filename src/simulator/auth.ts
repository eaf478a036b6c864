import { timingSafeEqual } from 'node:crypto'
import type { Users } from './users.ts'

/** Who sends a request. An administrator may act on every user, a user on themselves. */
export type Principal = { readonly userId: string; readonly isAdministrator: boolean }

/** The principal of a Basic `Authorization` header; undefined when it is missing or wrong. */
export function authenticate(
  header: string | undefined,
  known: { readonly administrator: { readonly username: string; readonly password: string }; readonly users: Users },
): Principal | undefined {
  const encoded = /^Basic\s+([\w+/=-]+)$/i.exec(header ?? '')?.[1]
  if (encoded === undefined) return undefined
  const [, userId = '', password = ''] = /^([^:]*):(.*)$/s.exec(Buffer.from(encoded, 'base64').toString('utf8')) ?? []
  const { administrator, users } = known
  if (userId === administrator.username && isEqual(password, administrator.password)) {
    return { userId, isAdministrator: true }
  }
  const user = users.find(userId)
  if (user?.password === undefined || !isEqual(password, user.password)) return undefined
  return { userId, isAdministrator: false }
}

/** Whether the principal may act on this user. */
export const mayActOn = (principal: Principal, userId: string): boolean =>
  principal.isAdministrator || principal.userId === userId

/** Takes as long wherever the two differ; nothing worth hiding shows in the length of a simulator's password. */
function isEqual(given: string, expected: string): boolean {
  const [one, other] = [Buffer.from(given), Buffer.from(expected)]
  return one.length === other.length && timingSafeEqual(one, other)
}
