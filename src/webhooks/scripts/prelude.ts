/**
 * The Lua that the scripts of the delivery engine share. Names used in the contracts:
 *
 * - lane: the events of one (endpoint, order key), worked off one after the other by one owner;
 * - token: an event's place in a lane, as delivery.ts formats it;
 * - slot: the right to work on a lane. An endpoint has `slots` of them, held in `running` with a lease,
 *   so that a crashed owner's slot lapses. Lanes without one stand in `waiting` and are handed a slot
 *   together with a wake-up when one becomes free: nobody polls for it. What somebody must act on goes
 *   before what a call is like, and that before records and replays; among equals the oldest goes first.
 *   One slot in eight is kept for records, and one for states, so that nothing waits for ever;
 * - gate: what else may keep an endpoint's lanes waiting: its breaker, a pause it asked for (429), its rate
 *   limit. A closed gate opens at a time, `reopen`, at which somebody must call REOPEN;
 * - wake-up: an order key in a script's answer, for which the caller must now add a job or do the work. If
 *   the caller dies before that, SWEEP answers it again, because `lanes` says when each lane is to be
 *   looked after.
 *
 * KEYS[1] of each script is a key of the engine; all others are derived from the endpoint, order key and
 * event ids. They have the same hash tag, so they are in the same Redis Cluster slot.
 * Times are milliseconds since the epoch, by one clock for all callers (see StoreClock), durations
 * milliseconds.
 *
 * A script may run twice with the same arguments, the first time without being heard: a connection that is
 * lost sends again what was not answered. What was true stays so: cursors, leases and ends are looked at
 * before anything is done, POSTPONE knows its own repetition, and the facts of attempts bring their ids.
 * Only wake-ups in the answer that was lost are not said again; SWEEP finds those.
 *
 * ARGV of each script begins with: 1 now, 2 time to live of events and lanes, 3 lease of a slot given with
 * a wake-up, 4 lease of a slot in use, 5 length of the records, 6 backlog limit. Most go on with the
 * endpoint and its rules: 7 endpoint id, 8 slots, 9 attempts per second (0: no limit), 10 order hold,
 * 11 '1' when coalescing; those about one lane with 12 order key.
 */
export const PRELUDE = `
local P = 'ch:{wh}:'
local now, ttl, wake_lease, lease = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local records_max, backlog_max = tonumber(ARGV[5]), tonumber(ARGV[6])

local function rules_at(i)
  return { slots = tonumber(ARGV[i]), rate = tonumber(ARGV[i + 1]), hold = tonumber(ARGV[i + 2]), coalesce = ARGV[i + 3] == '1' }
end

-- Each call to Redis costs more than what it does, so what is known already is not asked for again.
local TOKEN, parsed = '|(.)|(%d+)|(%d+)|([^|]*)|%d+|([^|]*)$', {}
local function parse(token)
  local event = parsed[token]
  if event then return event end
  local id, class, taken, expires, label, flags = string.match(token, '^([^|]*)' .. TOKEN)
  if not id then id, class, taken, expires, label, flags = string.match(token, '^(.*)' .. TOKEN) end
  event = {
    id = id, class = class, taken = tonumber(taken), expires = tonumber(expires), label = label,
    is_replay = string.find(flags, 'r', 1, true) ~= nil,
  }
  parsed[token] = event
  return event
end

-- The event that waits behind the first one of a lane. One that has expired waits no more.
local function successor(pending)
  for _, token in ipairs(redis.call('LRANGE', pending, 1, 8)) do
    local event = parse(token)
    if event.expires > now then return event end
  end
end

-- Has a key live on, when a tenth of its time has passed: that is still longer than any event lives.
local function keep(key)
  if redis.call('PTTL', key) < ttl * 0.9 then redis.call('PEXPIRE', key, ttl) end
end

-- Has keys of endpoints live on, once for all that a script does to them: each script that may touch one ends with
-- finish.
local touched = {}
local function touch(key)
  touched[key] = true
end
local function finish()
  for key in pairs(touched) do redis.call('PEXPIRE', key, ttl) end
end

-- Appends an entry of so many facts to the records. Beyond their length the newest are counted instead of kept: what
-- is kept stays in order.
local records_length
local function count_records()
  records_length = records_length or redis.call('XLEN', P .. 'records')
  return records_length
end
local function record_facts(count, ...)
  if count_records() >= records_max then
    redis.call('INCRBY', P .. 'lost-records', count)
  else
    redis.call('XADD', P .. 'records', '*', ...)
    records_length = records_length + 1
  end
end

local function record(...)
  record_facts(1, ...)
end

-- Records attempts: from ARGV[first] to ARGV[last] by turns what is known of one, and the answer, which is as long
-- as the receiver likes it. When records pile up their number is bounded, so answers are kept no more. The end that
-- follows from the last one, if there is one, is told by the same entry, as 'status at class'.
local function record_attempts(first, last, token, status)
  for i = first, last, 2 do
    local entry = { 'k', 'fact', 'fact', ARGV[i] }
    local is_last = status and i + 2 > last
    if is_last then
      entry[5], entry[6] = 'end', status .. ' ' .. ARGV[1] .. ' ' .. parse(token).class
    end
    if ARGV[i + 1] ~= '' and count_records() * 10 < records_max then
      entry[#entry + 1], entry[#entry + 2] = 'response', ARGV[i + 1]
    end
    record_facts(is_last and 2 or 1, unpack(entry))
  end
end

-- One lane fewer refers to the event; the last one takes it away. Most are referred to by one lane, and say nothing.
local function release(id)
  local key = P .. 'event:' .. id
  local refs = tonumber(redis.call('HGET', key, 'refs') or 1)
  if refs > 1 then redis.call('HSET', key, 'refs', refs - 1) else redis.call('UNLINK', key) end
end

local function uncount(ep, n)
  if redis.call('HINCRBY', P .. 'counts', ep, -n) <= 0 then redis.call('HDEL', P .. 'counts', ep) end
end

-- Of an event that was taken off its lane.
local function take_away(ep, token)
  local event = parse(token)
  if event.is_replay then redis.call('HDEL', P .. 'event:' .. event.id, 'replay:' .. ep) end
  release(event.id)
  uncount(ep, 1)
end

-- Who owns a lane, and how its first event fares.
local TURN_FIELDS = { 'owner', 'event', 'attempts', 'failed', 'due' }
local function read_turn(ep, order_key)
  return redis.call('HMGET', P .. 'turn:' .. ep .. ':' .. order_key, unpack(TURN_FIELDS))
end

-- What became of an event that was taken off its lane without an attempt.
local function conclude(ep, token, status)
  take_away(ep, token)
  record('k', 'ended', 'ep', ep, 'token', token, 'at', ARGV[1], 'status', status)
end

-- Tells the next delivery of the lane what did not arrive before it.
local function skip(ep, order_key, token, why)
  local key = P .. 'skipped:' .. ep .. ':' .. order_key
  redis.call('RPUSH', key, parse(token).label .. ';' .. why)
  redis.call('LTRIM', key, -32, -1)
  redis.call('PEXPIRE', key, ttl)
end

-- What was left out of a lane that is empty now is still told for some hours, should more of the call come.
local function fade(ep, order_key)
  redis.call('PEXPIRE', P .. 'skipped:' .. ep .. ':' .. order_key, 21600000)
end

local function clear(ep, order_key)
  redis.call('ZREM', P .. 'lanes:' .. ep, order_key)
  redis.call('ZREM', P .. 'running:' .. ep, order_key)
  redis.call('ZREM', P .. 'waiting:' .. ep, order_key)
  redis.call('ZREM', P .. 'expiring:' .. ep, order_key)
  redis.call('DEL', P .. 'turn:' .. ep .. ':' .. order_key)
end

-- The tokens of the rate limit, as many as seconds' worth, up to one second's; and when they were as many. What
-- was noted by a clock that has been put back since tells nothing.
local function refill(rate, tokens, filled)
  local age = now - tonumber(filled or 0)
  if not tokens or age < -5000 then return rate, now end
  return math.min(rate, tonumber(tokens) + math.max(0, age) * rate / 1000), math.max(now, now - age)
end

-- Where a lane stands among those that wait, by its first event: by rank, then by age.
local RANKS, RANK = { a = 0, s = 1, r = 2 }, 1e13
local function place_of(event)
  return (event.is_replay and 2 or RANKS[event.class]) * RANK + event.taken
end

-- Nothing pending: it goes first, and is cleared.
local function place_in_line(ep, order_key)
  local token = redis.call('LINDEX', P .. 'pending:' .. ep .. ':' .. order_key, 0)
  return token and place_of(parse(token)) or 0
end

local function wait_in_line(ep, order_key)
  redis.call('ZADD', P .. 'waiting:' .. ep, place_in_line(ep, order_key), order_key)
  touch(P .. 'waiting:' .. ep)
end

-- Takes slots away whose owners have given no sign for as long as their lease. The lanes wait in their place:
-- not behind all those that have come since.
local function lapse(ep)
  local running = P .. 'running:' .. ep
  for _, order_key in ipairs(redis.call('ZRANGEBYSCORE', running, '-inf', now)) do
    redis.call('ZREM', running, order_key)
    -- Whoever comes next need not wait for it.
    redis.call('HDEL', P .. 'turn:' .. ep .. ':' .. order_key, 'owner')
    wait_in_line(ep, order_key)
  end
end

-- A time of the gate, unless it is farther off than it can have been set: then the clock was put back since.
local OPEN_FOR, PAUSE_MAX = 10000, 3600000
local function gate_time(ep, field, value, most)
  local time = tonumber(value or 0)
  if time <= now + most then return time end
  redis.call('HSET', P .. 'gate:' .. ep, field, now + most)
  return now + most
end

-- How many more lanes may be begun now, and when to ask again for those beyond; no time when that is told
-- by a slot that becomes free. own: how many slots in use whoever asks has already; gate: what was read of it.
local GATE_FIELDS = { 'state', 'until', 'paused', 'tokens', 'filled', 'since', 'window' }
local function read_gate(ep)
  return redis.call('HMGET', P .. 'gate:' .. ep, unpack(GATE_FIELDS))
end
local function allowance(ep, rules, own, gate)
  gate = gate or read_gate(ep)
  local state, paused = gate[1], gate_time(ep, 'paused', gate[3], PAUSE_MAX)
  if paused > now then return 0, paused end
  if state == 'open' then
    -- It is open for longer during a pause only.
    local opens = gate_time(ep, 'until', gate[2], OPEN_FOR)
    if opens > now then return 0, opens end
    state = 'half_open'
    redis.call('HSET', P .. 'gate:' .. ep, 'state', state)
  end
  -- One probe at a time.
  local slots = (state == 'half_open' and 1 or rules.slots) + (own or 0)
  local free = slots - redis.call('ZCARD', P .. 'running:' .. ep)
  if free <= 0 then
    lapse(ep)
    free = slots - redis.call('ZCARD', P .. 'running:' .. ep)
    if free <= 0 then return 0, nil end
  end
  if rules.rate > 0 then
    -- What is added makes up for rounding, so that a token is there at the time that was told.
    local tokens = refill(rules.rate, gate[4], gate[5]) + 0.000001
    local whole = math.max(0, math.floor(tokens))
    if whole < free then return whole, now + math.ceil((whole + 1 - tokens) * 1000 / rules.rate) end
  end
  return free, nil
end

local function spend(ep, rules)
  if rules.rate == 0 then return end
  local gate = redis.call('HMGET', P .. 'gate:' .. ep, 'tokens', 'filled')
  local tokens, filled = refill(rules.rate, gate[1], gate[2])
  redis.call('HSET', P .. 'gate:' .. ep, 'tokens', tostring(tokens - 1), 'filled', filled)
  touch(P .. 'gate:' .. ep)
end

local function hold_slot(ep, order_key, ms)
  if redis.call('ZADD', P .. 'running:' .. ep, now + ms, order_key) == 1 then
    touch(P .. 'running:' .. ep)
  end
end

-- Takes out who is next of those that wait.
local function pop_waiting(ep, waiting)
  local gate = P .. 'gate:' .. ep
  local handed = redis.call('HINCRBY', gate, 'handed', 1) % 8
  touch(gate)
  local favoured = handed == 0 and 2 or handed == 4 and 1 or 0
  if favoured > 0 then
    local found = redis.call('ZRANGE', waiting, favoured * RANK, '+inf', 'BYSCORE', 'LIMIT', 0, 1)
    if found[1] then
      redis.call('ZREM', waiting, found[1])
      return found[1]
    end
  end
  return redis.call('ZPOPMIN', waiting)[1]
end

-- Gives free slots to lanes that wait; appends their order keys to wakes, but for the first ones, as many as
-- places, which go to chosen. Returns when to call REOPEN for those that still wait because of the gate, or 0.
local function handover(ep, rules, wakes, places, chosen)
  local waiting = P .. 'waiting:' .. ep
  if redis.call('EXISTS', waiting) == 0 then return 0 end
  lapse(ep)
  local free, reopen = allowance(ep, rules)
  while free > 0 do
    local order_key = pop_waiting(ep, waiting)
    if not order_key then return 0 end
    if redis.call('ZSCORE', P .. 'lanes:' .. ep, order_key) then
      hold_slot(ep, order_key, wake_lease)
      -- Should the wake-up be lost, SWEEP looks after the lane once the slot has lapsed.
      redis.call('ZADD', P .. 'lanes:' .. ep, now + lease, order_key)
      local to = chosen and #chosen < places and chosen or wakes
      to[#to + 1] = order_key
      free = free - 1
    end
  end
  return reopen and redis.call('EXISTS', waiting) == 1 and reopen or 0
end

-- Gives a lane that has no owner a slot and a wake-up, or a place among those that wait. free: what
-- allowance said, less what was given since; ms: for how long, if not for a wake-up. Returns whether a slot was given.
local function admit(ep, order_key, free, ms)
  if free > 0 then
    hold_slot(ep, order_key, ms or wake_lease)
    return true
  end
  wait_in_line(ep, order_key)
  return false
end
`

/** The part that puts events into lanes. */
export const INTAKE = `
local function store(id, kind, about, payload)
  local key = P .. 'event:' .. id
  -- Nothing new: there is a lane that refers to it.
  if redis.call('HSET', key, 'type', kind, 'about', about, 'payload', payload) == 0 then
    redis.call('HSET', key, 'refs', (redis.call('HGET', key, 'refs') or 1) + 1)
  end
  redis.call('PEXPIRE', key, ttl)
end

-- Appends to a lane. Returns what is to be done about it: nothing, 'now', or when its first event, which
-- waits for a retry, must make way for this one; with 'now' the lane's turn, which nobody has, and its length.
local function push(ep, rules, order_key, token, expires)
  local pending = P .. 'pending:' .. ep .. ':' .. order_key
  local length = redis.call('RPUSH', pending, token)
  redis.call('ZADD', P .. 'expiring:' .. ep, 'LT', expires, order_key)
  redis.call('ZADD', P .. 'lanes:' .. ep, 'NX', now + lease, order_key)
  if length == 1 then
    redis.call('PEXPIRE', pending, ttl)
    -- A lane that was empty has no slot, no turn and no place in the line: whatever empties one clears it.
    return 'now', {}, length
  end
  keep(pending)
  local slot = redis.call('ZSCORE', P .. 'running:' .. ep, order_key)
  if slot and tonumber(slot) > now then return nil end
  if slot then redis.call('ZREM', P .. 'running:' .. ep, order_key) end
  local known = read_turn(ep, order_key)
  -- Its slot has lapsed, so it owns the lane no longer: whoever comes next need not wait for it.
  if known[1] then
    redis.call('HDEL', P .. 'turn:' .. ep .. ':' .. order_key, 'owner')
    known[1] = false
  end
  local due = tonumber(known[5] or '0')
  if due > now then
    -- Only the first successor can change when the lane is due.
    if length ~= 2 or now + rules.hold >= due then return nil end
    redis.call('ZADD', P .. 'lanes:' .. ep, 'LT', now + rules.hold + lease, order_key)
    return now + rules.hold
  end
  if redis.call('ZSCORE', P .. 'waiting:' .. ep, order_key) then return nil end
  return 'now', known, length
end

-- How many lanes that ask now may begin, after those that have waited, whose order keys are appended to
-- wakes; and when to ask again for the others.
local function room(ep, rules, wakes)
  lapse(ep)
  local reopen = handover(ep, rules, wakes)
  if redis.call('EXISTS', P .. 'waiting:' .. ep) == 1 then return 0, reopen > 0 and reopen or nil end
  return allowance(ep, rules)
end

-- With every event, so that what an endpoint has outlives whatever is pending in it.
local function prolong(ep)
  keep(P .. 'lanes:' .. ep)
  keep(P .. 'expiring:' .. ep)
end
`
