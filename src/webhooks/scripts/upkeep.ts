import { PRELUDE } from './prelude.ts'

/**
 * Hands slots to waiting lanes, because the gate should have opened.
 *
 * KEYS  1 waiting
 * ARGV  (see PRELUDE) 7-11 endpoint and rules
 * Returns {wake-ups as order keys, reopen}.
 */
export const REOPEN = `${PRELUDE}
local wakes = {}
local reopen = handover(ARGV[7], rules_at(8), wakes)
finish()
return { wakes, reopen }
`

/**
 * Looks after an endpoint's lanes that nobody looks after although it is time: their wake-up was lost, or
 * the owner of their slot died. Puts off each lane it answers, so that two sweepers do not repeat each
 * other. Takes expired events off lanes that wait, so that their end is told in time. Events that have
 * outlived their time to live in Redis are gone without being settled: an endpoint without lanes has none,
 * whatever was counted.
 *
 * KEYS  1 lanes
 * ARGV  (see PRELUDE) 7-11 endpoint and rules, 12 how long to put off, 13 how many lanes at most
 * Returns {wake-ups as order keys, reopen, number of events that expired, {since when the oldest first event
 * of the lanes that still wait has been in its lane, per rank: to act on, state, record or replay; 0: none}}.
 */
export const SWEEP = `${PRELUDE}
local ep, rules, put_off, limit = ARGV[7], rules_at(8), tonumber(ARGV[12]), ARGV[13]
local running, waiting, expiring = P .. 'running:' .. ep, P .. 'waiting:' .. ep, P .. 'expiring:' .. ep
local wakes, expired = {}, 0
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('HDEL', P .. 'counts', ep)
  redis.call('DEL', waiting, expiring)
  return { wakes, 0, 0, { 0, 0, 0 } }
end

-- Expired events of one lane; its owner, if it has one, sees to it by itself.
local function expire(order_key)
  local slot = tonumber(redis.call('ZSCORE', running, order_key) or 0)
  if slot > now then
    redis.call('ZADD', expiring, slot, order_key)
    return
  end
  local pending, before, earliest = P .. 'pending:' .. ep .. ':' .. order_key, expired, nil
  for _, token in ipairs(redis.call('LRANGE', pending, 0, 999)) do
    local expires = parse(token).expires
    if expires <= now then
      redis.call('LREM', pending, 1, token)
      skip(ep, order_key, token, 'expired')
      conclude(ep, token, 'expired')
      expired = expired + 1
    elseif not earliest or expires < earliest then
      earliest = expires
    end
  end
  -- What is left need not wait for what has ended, nor does it wait by the rank of that.
  if expired > before then
    redis.call('ZADD', KEYS[1], 'XX', now, order_key)
    redis.call('ZADD', waiting, 'XX', place_in_line(ep, order_key), order_key)
  end
  if earliest then
    redis.call('ZADD', expiring, earliest, order_key)
  elseif redis.call('EXISTS', pending) == 1 then
    redis.call('ZADD', expiring, now, order_key)
  else
    clear(ep, order_key)
    fade(ep, order_key)
  end
end

for _, order_key in ipairs(redis.call('ZRANGEBYSCORE', expiring, '-inf', now, 'LIMIT', 0, limit)) do
  -- The next sweep does the rest.
  if expired >= 5000 then break end
  expire(order_key)
end
lapse(ep)
local reopen = handover(ep, rules, wakes)
local free, gate_opens
for _, order_key in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, limit)) do
  local slot = tonumber(redis.call('ZSCORE', running, order_key) or 0)
  if slot <= now and not redis.call('ZSCORE', waiting, order_key) then
    if not free then free, gate_opens = allowance(ep, rules) end
    -- It has no slot, so it has no owner.
    redis.call('HDEL', P .. 'turn:' .. ep .. ':' .. order_key, 'owner')
    if admit(ep, order_key, free) then
      free = free - 1
      wakes[#wakes + 1] = order_key
    elseif gate_opens then
      reopen = gate_opens
    end
  end
  redis.call('ZADD', KEYS[1], now + put_off, order_key)
end
local since = { 0, 0, 0 }
if redis.call('EXISTS', waiting) == 1 then
  for rank = 0, 2 do
    local found = redis.call('ZRANGE', waiting, rank * RANK, '(' .. string.format('%.0f', (rank + 1) * RANK), 'BYSCORE',
      'LIMIT', 0, 1, 'WITHSCORES')
    if found[2] then since[rank + 1] = tonumber(found[2]) - rank * RANK end
  end
end
finish()
return { wakes, reopen, expired, since }
`

/**
 * Takes everything away that belongs to an endpoint; to be called until nothing is left.
 *
 * KEYS  1 cursors of the app, 2 apps
 * ARGV  (see PRELUDE) 7 endpoint id, 8 app id, 9 events per call
 * Returns {number of events dropped, number of lanes left}.
 */
export const REMOVE = `${PRELUDE}
local ep, most, dropped = ARGV[7], tonumber(ARGV[9]), 0
redis.call('HDEL', KEYS[1], ep)
if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('SREM', KEYS[2], ARGV[8]) end
for _, order_key in ipairs(redis.call('ZRANGE', P .. 'lanes:' .. ep, 0, most - 1)) do
  if dropped >= most then break end
  local pending = P .. 'pending:' .. ep .. ':' .. order_key
  for _, token in ipairs(redis.call('LPOP', pending, most - dropped) or {}) do
    conclude(ep, token, 'dropped')
    dropped = dropped + 1
  end
  if redis.call('EXISTS', pending) == 0 then
    redis.call('DEL', P .. 'skipped:' .. ep .. ':' .. order_key)
    clear(ep, order_key)
  end
end
local left = redis.call('ZCARD', P .. 'lanes:' .. ep)
if left == 0 then
  redis.call('DEL', P .. 'running:' .. ep, P .. 'waiting:' .. ep, P .. 'expiring:' .. ep, P .. 'gate:' .. ep)
  redis.call('HDEL', P .. 'counts', ep)
end
return { dropped, left }
`

/**
 * Notes that the operator was warned of an endpoint that does nothing but fail; a success forgets it.
 *
 * KEYS  1 gate
 * Returns 1 for the first to ask since the endpoint began to fail, otherwise 0.
 */
export const WARN = `
if redis.call('HEXISTS', KEYS[1], 'since') == 0 then return 0 end
return redis.call('HSETNX', KEYS[1], 'warned', 1)
`

/**
 * Gives the records to one recorder at a time.
 *
 * KEYS  1 lock, 2 records, 3 lost records
 * ARGV  1 owner, 2 lease of the lock, 3 how many entries, 4 after which one, or '' for the oldest
 * Returns false when another one holds the lock, otherwise {entries, number of lost entries}.
 */
export const CLAIM_RECORDS = `
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return false end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
local first = ARGV[4] == '' and '-' or '(' .. ARGV[4]
return { redis.call('XRANGE', KEYS[2], first, '+', 'COUNT', ARGV[3]), tonumber(redis.call('GET', KEYS[3]) or 0) }
`

/**
 * Prolongs the lock of a recorder that takes long.
 *
 * KEYS  1 lock
 * ARGV  1 owner, 2 lease of the lock
 * Returns 1, or 0 when it holds the lock no longer.
 */
export const RENEW_RECORDER = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
`

/**
 * Takes entries away that have been written, and notes that some were, or gives the lock back. What was told as
 * lost is no longer counted.
 *
 * KEYS  1 lock, 2 records, 3 lost records, 4 recording
 * ARGV  1 owner, 2 first id to keep, or '' to give the lock back, 3 number of lost entries that were told, 4 for
 *       how long entries count as being written
 * Returns 1, or 0 when another one holds the lock.
 */
export const RELEASE_RECORDS = `
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
if ARGV[2] ~= '' then
  redis.call('XTRIM', KEYS[2], 'MINID', ARGV[2])
  redis.call('SET', KEYS[4], '1', 'PX', ARGV[4])
else
  redis.call('DEL', KEYS[1])
end
if tonumber(ARGV[3]) > 0 and redis.call('DECRBY', KEYS[3], ARGV[3]) <= 0 then redis.call('DEL', KEYS[3]) end
return 1
`
