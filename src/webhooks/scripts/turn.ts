import { BEGIN } from './begin.ts'
import { PRELUDE } from './prelude.ts'

/**
 * The breaker. It opens by either of two rules. By share: most of many requests of the last minute have failed;
 * counts are of this half minute and the one before. By row: nothing but failure came for some seconds, which
 * shows that an endpoint has begun to hang or is down long before the share does, if it was well until then. A row
 * counts from when the first of its requests was sent, so one that timed out has lasted for as long; requests that
 * fail together, as when a receiver is started anew, are no row, nor are failures with long gaps between them.
 *
 * `since` and `failures` tell of nothing but failure, whatever the breaker does.
 */
const BREAKER = `
local WINDOW, AT_LEAST, SHARE = 30000, 20, 0.7
local ROW, ROW_LASTS, ROW_GAP = 10, 3000, 10000

local function count(gate, result, window)
  local started = tonumber(window or 0)
  if now - started >= WINDOW then
    local counts = redis.call('HMGET', gate, 'ok', 'bad')
    local recent = now - started < 2 * WINDOW
    redis.call('HSET', gate, 'window', now, 'ok', 0, 'bad', 0,
      'ok_before', recent and counts[1] or 0, 'bad_before', recent and counts[2] or 0)
    touch(gate)
  end
  redis.call('HINCRBY', gate, result, 1)
end

-- Returns whether the breaker has closed by it, and what is known of the gate otherwise.
local function succeed(ep)
  local gate, known = P .. 'gate:' .. ep, read_gate(ep)
  if known[6] then redis.call('HDEL', gate, 'since', 'failures', 'warned', 'row', 'row_began', 'row_last') end
  if known[1] then redis.call('HDEL', gate, 'state', 'until', 'window', 'ok', 'bad', 'ok_before', 'bad_before') end
  count(gate, 'ok', not known[1] and known[7])
  if known[1] then return true end
  return false, known
end

local function open(gate, until_time)
  redis.call('HSET', gate, 'state', 'open', 'until', until_time)
end

-- Whether failures have come in a row for long enough; lasted: how long the last one took.
local function is_row(gate, lasted)
  local known = redis.call('HMGET', gate, 'row', 'row_began', 'row_last')
  local row, began, last = tonumber(known[1] or 0), tonumber(known[2] or now), tonumber(known[3] or now)
  if now - last > ROW_GAP then row, began = 0, now end
  row, began = row + 1, math.min(began, now - lasted)
  redis.call('HSET', gate, 'row', row, 'row_began', began, 'row_last', now)
  return row >= ROW and now - began >= ROW_LASTS
end

local function is_mostly_failing(gate)
  local counts = redis.call('HMGET', gate, 'ok', 'bad', 'ok_before', 'bad_before')
  local ok = tonumber(counts[1] or 0) + tonumber(counts[3] or 0)
  local bad = tonumber(counts[2] or 0) + tonumber(counts[4] or 0)
  return ok + bad >= AT_LEAST and bad >= SHARE * (ok + bad)
end

-- A pause is no failure to the breaker, but a probe that is answered with one has not succeeded either.
local function fail(ep, paused, lasted)
  local gate = P .. 'gate:' .. ep
  redis.call('HSETNX', gate, 'since', now)
  redis.call('HINCRBY', gate, 'failures', 1)
  local state = redis.call('HGET', gate, 'state')
  if paused > now then
    -- One lane's answer does not end the pause that another one's asked for.
    local until_time = math.max(paused, gate_time(ep, 'paused', redis.call('HGET', gate, 'paused'), PAUSE_MAX))
    redis.call('HSET', gate, 'paused', until_time)
    if state then open(gate, until_time) end
  else
    count(gate, 'bad', redis.call('HGET', gate, 'window'))
    if state == 'half_open' then
      open(gate, now + OPEN_FOR)
    elseif not state then
      local row = is_row(gate, lasted)
      if row or is_mostly_failing(gate) then open(gate, now + OPEN_FOR) end
    end
  end
  touch(gate)
end
`

/** What ADVANCE does to settle; needs BEGIN and BREAKER. */
const SETTLE = `
-- Takes the first event off its lane, delivered or given up, and asks for the next one for an owner that goes on. If
-- that leaves nothing in the lane, its slot goes to one that waits, which is begun for the heir, if one is named.
-- Takes it off for a former owner too: what it delivered need not be sent again. The attempts, in ARGV from first to
-- last, are recorded in any case: they were made. A repetition finds another event first, and one more success
-- changes nothing.
local function settle(ep, rules, order_key, token, status, owner, heir, first, last)
  local pending, wakes, closed, gate = P .. 'pending:' .. ep .. ':' .. order_key, {}, false, nil
  if status == 'delivered' then closed, gate = succeed(ep) end
  local ahead = redis.call('LRANGE', pending, 0, 1)
  if ahead[1] ~= token then
    record_attempts(first, last)
    local reopen = closed and handover(ep, rules, wakes) or 0
    if owner == '' then return { 'lost', wakes, reopen } end
    return { 'lost', wakes, reopen, begin(ep, rules, order_key, owner, false, {}) }
  end
  redis.call('LPOP', pending)
  if first > last then
    conclude(ep, token, status)
  else
    record_attempts(first, last, token, status)
    take_away(ep, token)
  end
  local left = ahead[2] ~= nil
  if status == 'delivered' then
    redis.call('DEL', P .. 'skipped:' .. ep .. ':' .. order_key)
  else
    skip(ep, order_key, token, status)
    if not left then fade(ep, order_key) end
  end
  -- A lane that goes on keeps its slot, but closing the breaker sets others free.
  if not left then
    clear(ep, order_key)
    local chosen, begun, others = {}, {}, {}
    local reopen = handover(ep, rules, wakes, heir == '' and 0 or 1, chosen)
    if chosen[1] then begin_admitted(ep, rules, chosen[1], heir, {}, begun, others) end
    return { 'idle', wakes, reopen, begun, others }
  end
  local seen = { turn = read_turn(ep, order_key), first = ahead[2], gate = gate, nothing_skipped = status == 'delivered' }
  -- What an owner that goes on begins next takes their place.
  if seen.turn[1] ~= owner then
    redis.call('HDEL', P .. 'turn:' .. ep .. ':' .. order_key, 'event', 'attempts', 'failed', 'due')
  end
  local reopen = 0
  if closed then
    reopen = handover(ep, rules, wakes)
    -- It may have found that our own slot has lapsed.
    seen.turn = nil
  end
  if owner == '' then return { 'more', wakes, reopen } end
  return { 'more', wakes, reopen, begin(ep, rules, order_key, owner, false, seen) }
end
`

/**
 * Settles events and asks for next ones, of as many lanes as ended or began to be worked on at once: each
 * script pays for its beginning anew. What fails for one lane fails for no other; where nothing
 * succeeds the script fails.
 *
 * KEYS  1 counts
 * ARGV  (see PRELUDE) then per lane: 'begin', endpoint, its four rules, order key, owner, '1' when fresh;
 *       or 'settle', endpoint, its four rules, order key, token, status, owner that goes on, or '', owner of the
 *       lane that takes the slot over, or '', the number of arguments about attempts, and those (see record_attempts)
 * Returns per lane, in their order, a turn (see BEGIN) for 'begin'; for 'settle' {'more' | 'lost', wake-ups
 * as order keys, reopen, turn unless nobody goes on}, 'lost' when the first event is another one, or {'idle',
 * wake-ups as order keys, reopen, {order key, owner, turn of the lane that took the slot over}, wake-ups as order
 * keys and times}; or {'failed', why}.
 */
export const ADVANCE = `${PRELUDE}${BEGIN}${BREAKER}${SETTLE}
local answers, at, succeeded, failure = {}, 7, 0, nil
local function answer(is_done, reply)
  if is_done then
    succeeded = succeeded + 1
  else
    failure = type(reply) == 'table' and reply.err or tostring(reply)
    reply = { 'failed', failure }
  end
  answers[#answers + 1] = reply
end
while at <= #ARGV do
  local ep, rules, order_key = ARGV[at + 1], rules_at(at + 2), ARGV[at + 6]
  if ARGV[at] == 'begin' then
    answer(pcall(begin, ep, rules, order_key, ARGV[at + 7], ARGV[at + 8] == '1', {}))
    at = at + 9
  else
    local first = at + 12
    local last = first - 1 + tonumber(ARGV[at + 11])
    answer(pcall(settle, ep, rules, order_key, ARGV[at + 7], ARGV[at + 8], ARGV[at + 9], ARGV[at + 10], first, last))
    at = last + 1
  end
end
finish()
if succeeded == 0 then return { err = failure } end
return answers
`

/**
 * Leaves the first event for later and gives the slot back. The turn remembers who left what, until it has
 * that owner again: so a repetition is known, and answered without counting the failure or the requests
 * once more.
 *
 * KEYS  1 pending
 * ARGV  (see PRELUDE) 7-12 endpoint, rules and order key, 13 owner, 14 token, 15 due, 16 requests made,
 *       17 '1' when the round failed, 18 end of a pause or 0, 19 how long the round took; then attempts (see
 *       record_attempts)
 * Returns {'ok' | 'lost', when the lane goes on, wake-ups as order keys, reopen, failing since or 0, failures,
 * 'closed' | 'open' | 'half_open'}.
 */
export const POSTPONE = `${PRELUDE}${BREAKER}
local ep, rules, order_key, owner, token = ARGV[7], rules_at(8), ARGV[12], ARGV[13], ARGV[14]
local due, requests, has_failed, paused = tonumber(ARGV[15]), tonumber(ARGV[16]), ARGV[17] == '1', tonumber(ARGV[18])
local lasted = tonumber(ARGV[19])
local turn = P .. 'turn:' .. ep .. ':' .. order_key
local known = redis.call('HMGET', turn, 'owner', 'left', 'attempts', 'event', 'failed')
local first = redis.call('LINDEX', KEYS[1], 0)
local is_first = first == token
local is_ours = is_first and known[1] == owner
local left = owner .. ' ' .. token
local was_ours = known[2] == 'ok ' .. left
local is_repeated = not is_ours and (was_ours or known[2] == 'lost ' .. left)
if not is_repeated then
  record_attempts(20, #ARGV)
  if has_failed then fail(ep, paused, lasted) end
  -- In a turn of somebody else's, too, or of nobody's yet; a lane with nothing pending has none.
  if known[1] or known[3] or first then
    redis.call('HSET', turn, 'left', (is_ours and 'ok ' or 'lost ') .. left)
    redis.call('PEXPIRE', turn, ttl)
  end
end
local wakes, reopen, resume = {}, 0, due
-- What is known may be of an event before this one.
local is_known = known[4] == token
local attempts = (is_known and tonumber(known[3]) or 0) + (is_ours and requests or 0)
local is_left = is_ours or was_ours and is_first and not known[1]
if is_left and attempts > 0 then
  local following = successor(KEYS[1])
  if following then resume = math.min(due, math.max(now, following.taken + rules.hold)) end
end
if is_ours then
  local failed = (is_known and tonumber(known[5]) or 0) + (has_failed and 1 or 0)
  redis.call('HSET', turn, 'event', token, 'attempts', attempts, 'failed', failed, 'due', due)
  redis.call('PEXPIRE', turn, ttl)
  redis.call('HDEL', turn, 'owner')
  redis.call('ZREM', P .. 'running:' .. ep, order_key)
  redis.call('ZADD', P .. 'lanes:' .. ep, resume + lease, order_key)
  reopen = handover(ep, rules, wakes)
end
finish()
local gate = redis.call('HMGET', P .. 'gate:' .. ep, 'since', 'failures', 'state')
return { is_left and 'ok' or 'lost', resume, wakes, reopen, tonumber(gate[1] or 0), tonumber(gate[2] or 0), gate[3] or 'closed' }
`

/**
 * Prolongs the leases of lanes in work.
 *
 * KEYS  1 counts
 * ARGV  (see PRELUDE) then per lane: 7 endpoint id, 8 order key, 9 owner
 * Returns how many are still their owner's.
 */
export const RENEW = `${PRELUDE}
local held = 0
for i = 7, #ARGV, 3 do
  local ep, order_key = ARGV[i], ARGV[i + 1]
  if redis.call('HGET', P .. 'turn:' .. ep .. ':' .. order_key, 'owner') == ARGV[i + 2] then
    redis.call('ZADD', P .. 'running:' .. ep, 'XX', now + lease, order_key)
    redis.call('ZADD', P .. 'lanes:' .. ep, 'XX', now + lease, order_key)
    held = held + 1
  end
end
return held
`
