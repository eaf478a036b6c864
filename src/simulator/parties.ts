import type { CallType, Party } from './call-half.ts'
import { displayName, plainAddress } from './users.ts'
import type { User } from './users.ts'

/** The address of record of a user's phone. */
export const addressOfRecord = (user: User): string =>
  `${user.number.replaceAll(/\D/g, '')}@${user.user_id.split('@')[1] ?? 'example.net'}`

/** A URI of something dialled or displayed. */
export function toUri(address: string): string {
  if (/^(tel|sip):/i.test(address)) return address
  return address.includes('@') ? `sip:${address}` : `tel:${plainAddress(address)}`
}

/** Whether two users see each other's ids: same enterprise. */
export const isSameEnterprise = (one: User, other: User): boolean => one.enterprise_id === other.enterprise_id

function callTypeBetween(viewer: User, other: User): CallType {
  if (!isSameEnterprise(viewer, other)) return 'Network'
  return viewer.group_id === other.group_id ? 'Group' : 'Enterprise'
}

/** How `viewer` sees the simulated user `other`; `address` is what was dialled, if it was. */
export function partyOfUser(viewer: User, other: User, address?: string): Party {
  const visible = isSameEnterprise(viewer, other)
  const extension = other.extension === undefined ? '' : `;ext=${other.extension}`
  return {
    name: displayName(other),
    address: toUri(address === undefined || address.includes('@') ? other.number : address),
    userId: visible ? other.user_id : undefined,
    userDn: visible ? `tel:${other.number}${extension}` : undefined,
    callType: callTypeBetween(viewer, other),
  }
}

/** A party outside the simulated deployment; `anonymous` withholds its number. */
export const externalParty = (address: string, name?: string): Party =>
  address.toLowerCase() === 'anonymous'
    ? { isPrivate: true, callType: 'Network' }
    : { name, address: toUri(address), callType: 'Network' }

/** The number of a party for people: digits, user part, or nothing when withheld. */
export const numberOf = (party: Party): string => plainAddress(party.address ?? '')
