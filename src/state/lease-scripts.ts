import { script } from './scripts.ts'

/**
 * Grants a lease that nobody holds.
 *
 * KEYS: 1 lease · 2 fence · 3 note · 4 claim
 * ARGV: 1 lease TTL ms · 2 fence TTL ms · 3 the highest token that the asker has seen
 * Steps: stop if it is held · take a token above every earlier one: above the last one, above the one that
 *   the asker has seen, and the time when that is higher, so that tokens grow even if Redis lost the last
 *   one, also on another server whose clock is behind · store it · take the note of a holder that did not
 *   give the lease back
 * Returns: `[token, note or '']`, or nil.
 */
export const ACQUIRE_LEASE = script(`
if redis.call('EXISTS', KEYS[1]) == 1 then return false end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local last = math.max(tonumber(redis.call('GET', KEYS[2]) or '0'), tonumber(ARGV[3]))
local token = string.format('%.0f', math.max(last + 1, now))
redis.call('SET', KEYS[1], token, 'PX', ARGV[1])
redis.call('SET', KEYS[2], token, 'PX', ARGV[2])
local note = redis.call('GET', KEYS[3]) or ''
redis.call('DEL', KEYS[3], KEYS[4])
return { token, note }
`)

/**
 * Prolongs a lease, unless a newer token was granted. One that is missing without a newer grant was lost by
 * Redis, not by its holder, and is put back.
 *
 * KEYS: 1 lease · 2 fence · 3 note · 4 claim
 * ARGV: 1 token · 2 lease TTL ms · 3 fence TTL ms · 4 note, or empty for none
 * Returns: who asked for it, or ''; nil when somebody else has it.
 */
export const RENEW_LEASE = script(`
local granted = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), tonumber(redis.call('GET', KEYS[2]) or '0'))
if granted > tonumber(ARGV[1]) then return false end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[3])
if ARGV[4] == '' then redis.call('DEL', KEYS[3]) else redis.call('SET', KEYS[3], ARGV[4], 'PX', ARGV[3]) end
return redis.call('GET', KEYS[4]) or ''
`)

/**
 * Gives a lease back if it is still ours. The fence stays: the token may still be on its way.
 *
 * KEYS: 1 lease · 2 fence · 3 note · 4 claim
 * ARGV: 1 token
 * Returns: 1 if it was ours.
 */
export const RELEASE_LEASE = script(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1], KEYS[3], KEYS[4])
`)

/**
 * Leaves a note at a lease that is ours.
 *
 * KEYS: 1 lease · 2 fence · 3 note · 4 claim
 * ARGV: 1 token · 2 note, or empty for none · 3 note TTL ms
 * Returns: 1, or 0 when it is not ours.
 */
export const DESCRIBE_LEASE = script(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '' then redis.call('DEL', KEYS[3]) else redis.call('SET', KEYS[3], ARGV[2], 'PX', ARGV[3]) end
return 1
`)

/**
 * Looks at a lease.
 *
 * KEYS: 1 lease · 2 fence · 3 note · 4 claim
 * Returns: `[token, its TTL in ms, note or '']`, or nil when nobody holds it.
 */
export const LOOK_AT_LEASE = script(`
local token = redis.call('GET', KEYS[1])
if not token then return false end
return { token, redis.call('PTTL', KEYS[1]), redis.call('GET', KEYS[3]) or '' }
`)

/**
 * Says that an instance is alive, and lists the others.
 *
 * KEYS: 1 sorted set of instances by their last sign of life
 * ARGV: 1 this instance, as the others see it · 2 how long one is listed, ms
 * Steps: note the time · forget those not heard of for long · list
 * Returns: for each instance its text and how long ago it said so, in ms.
 */
export const HEARTBEAT = script(`
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[2]))
redis.call('PEXPIRE', KEYS[1], ARGV[2])
local listed = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for index = 2, #listed, 2 do listed[index] = string.format('%.0f', now - tonumber(listed[index])) end
return listed
`)

/**
 * Counts a doubt.
 *
 * KEYS: 1 doubts
 * ARGV: 1 TTL ms
 * Returns: the doubt's number as text. It is never used twice: after a loss it starts at the time.
 */
export const DOUBT = script(`
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local doubts = string.format('%.0f', math.max(tonumber(redis.call('GET', KEYS[1]) or '0') + 1, now))
redis.call('SET', KEYS[1], doubts, 'PX', ARGV[1])
return doubts
`)
