import ipaddr from 'ipaddr.js'
import { GatewayError } from '../core/errors.ts'

type Address = ipaddr.IPv4 | ipaddr.IPv6
type Network = readonly [Address, number]

/** Decides to which IP addresses webhooks may be sent. */
export type AddressPolicy = {
  /** The operator opened this address by name (CALLHALF_ALLOW_PRIVATE_TARGETS). */
  isOpened(address: string): boolean
  /** Opened, or a public unicast address. Anything that cannot be classified is refused. */
  isPermitted(address: string): boolean
  /** Whether the operator opened anything at all. */
  readonly opensAny: boolean
}

/**
 * A policy that permits public addresses and the given CIDR ranges (`10.1.0.0/16`, `::1/128`).
 * Throws `invalid_request` naming the range that is not one.
 */
export function createAddressPolicy(openedRanges: readonly string[]): AddressPolicy {
  const opened = openedRanges.map(parseRange)
  const isOpened = (address: string): boolean => {
    // Not through NAT64: a private address behind it is in the network of the translator, not in ours.
    const parsed = parseAddress(address)
    return parsed !== undefined && opened.some((range) => contains(range, parsed))
  }
  return {
    isOpened,
    isPermitted: (address) => isPublic(address) || isOpened(address),
    opensAny: opened.length > 0,
  }
}

/**
 * Whether an address is one of the public internet. Denies by default: IPv4 must be in no special
 * range, IPv6 must in addition be in 2000::/3, the only block from which global unicast is assigned.
 */
function isPublic(address: string): boolean {
  const found = parseAddress(address)
  const parsed = found !== undefined && contains(NAT64, found) ? behindNat64(found) : found
  if (parsed === undefined || parsed.range() !== 'unicast') return false
  if (NOT_PUBLIC.some((range) => contains(range, parsed))) return false
  return parsed.kind() === 'ipv4' || contains(GLOBAL_UNICAST, parsed)
}

const GLOBAL_UNICAST: Network = [ipaddr.parse('2000::'), 3]

/** What looks public and is not, and is in no registry of special addresses (or no longer). */
const NOT_PUBLIC: readonly Network[] = [
  // Azure's channel between a virtual machine and its host: DNS, DHCP, credentials of extensions.
  [ipaddr.parse('168.63.129.16'), 32],
  // IBM Cloud's services for its own machines.
  [ipaddr.parse('161.26.0.0'), 16],
  [ipaddr.parse('166.8.0.0'), 14],
  // The 6bone, returned and never assigned again (RFC 3701).
  [ipaddr.parse('3ffe::'), 16],
]
const NAT64: Network = [ipaddr.parse('64:ff9b::'), 96]

/** The IPv4 address that a translator would send to (RFC 6052). */
const behindNat64 = (address: Address): Address => new ipaddr.IPv4(address.toByteArray().slice(12))

/**
 * The address that is dialled: the IPv4-mapped form is unwrapped. The other ways to hide an IPv4 address
 * (6to4, Teredo, IPv4-compatible, local NAT64 prefixes) stay what they are and are not public.
 */
function parseAddress(text: string): Address | undefined {
  // A zone (`fe80::1%eth0`) never belongs to a public address; the strict four-part form keeps the
  // historical octal and short notations from meaning something else here than to the kernel.
  if (text.includes('%') || !(ipaddr.IPv6.isValid(text) || ipaddr.IPv4.isValidFourPartDecimal(text))) return undefined
  const address = ipaddr.parse(inHex(text))
  if (!(address instanceof ipaddr.IPv6)) return address
  return address.isIPv4MappedAddress() ? address.toIPv4Address() : address
}

/**
 * An IPv6 address without its dotted tail. ipaddr.js takes any dotted tail for an IPv4-mapped address, so
 * that `::8.8.8.8` (IPv4-compatible, another address) would pass for 8.8.8.8.
 */
function inHex(text: string): string {
  const [, head, ...octets] = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(text) ?? []
  if (head === undefined) return text
  const [a = 0, b = 0, c = 0, d = 0] = octets.map(Number)
  return `${head}${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`
}

function parseRange(text: string): Network {
  if (!ipaddr.isValidCIDR(text)) {
    throw new GatewayError('invalid_request', { detail: `"${text}" is not an address range like 10.0.0.0/8` })
  }
  return ipaddr.parseCIDR(text)
}

function contains([network, bits]: Network, address: Address): boolean {
  return network.kind() === address.kind() && address.match(network, bits)
}
