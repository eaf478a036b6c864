/**
 * Asks for the next event of a lane, taking (fresh) or keeping a slot. On the way, first events are taken
 * off that are not to be sent any more: expired ones, ones that a later one replaces (coalescing), and ones
 * that have held up the lane for too long. Of the latter a record, or a replay, goes on in a lane of its own.
 *
 * The answer is a turn, one of
 *   {'idle', wake-ups, reopen}                nothing pending
 *   {'again', wake-ups}                       many were taken off: ask again
 *   {'waiting', reopen, wake-ups}             no slot, or the gate is closed; the lane waits
 *   {'busy', until}                           somebody else owns the lane
 *   {'lost'}                                  we own it no longer
 *   {'later', time, wake-ups, reopen}         the first event is not due; the slot is given back
 *   {'due', wake-ups, token, attempts, failed, type, about, payload, {skipped}}
 * where wake-ups are order keys and times (0: now). seen: what is known already, of turn, slot, first event, its
 * content and the gate; whether nothing is skipped; and whether the gate has admitted the lane just now.
 */
export const BEGIN = `
local function hand_over(ep, rules, wakes)
  local others = {}
  local reopen = handover(ep, rules, others)
  for _, other in ipairs(others) do
    wakes[#wakes + 1] = other
    wakes[#wakes + 1] = 0
  end
  return reopen
end

-- A replay does not: somebody asked for it as it was.
local function goes_stale(event)
  return event.class ~= 'r' and not event.is_replay
end

-- A record or a replay that held up its lane: it goes on by itself, marked.
local function move_aside(ep, token, attempts, failed, due, wakes)
  local event = parse(token)
  local lane = 'parked:' .. event.id
  local marked = token .. 'p'
  redis.call('RPUSH', P .. 'pending:' .. ep .. ':' .. lane, marked)
  redis.call('PEXPIRE', P .. 'pending:' .. ep .. ':' .. lane, ttl)
  local key = P .. 'turn:' .. ep .. ':' .. lane
  redis.call('HSET', key, 'event', marked, 'attempts', attempts, 'failed', failed, 'due', due)
  redis.call('PEXPIRE', key, ttl)
  redis.call('ZADD', P .. 'lanes:' .. ep, due + lease, lane)
  redis.call('ZADD', P .. 'expiring:' .. ep, event.expires, lane)
  wakes[#wakes + 1] = lane
  wakes[#wakes + 1] = due
end

local function begin(ep, rules, order_key, owner, is_fresh, seen)
  local known, first, gate = seen.turn, seen.first, seen.gate
  local pending, turn = P .. 'pending:' .. ep .. ':' .. order_key, P .. 'turn:' .. ep .. ':' .. order_key
  local running = P .. 'running:' .. ep
  known = known or read_turn(ep, order_key)
  if not is_fresh and known[1] ~= owner then return { 'lost' } end
  local slot = seen.slot or tonumber(redis.call('ZSCORE', running, order_key) or 0)
  if known[1] and known[1] ~= owner and slot > now then return { 'busy', slot } end

  -- resume: when the lane goes on, which is before the first event is due if that has held it up for too long.
  local wakes = {}
  local token, event, content, attempts, failed, due, resume
  for i = 1, 100 do
    token = first or redis.call('LINDEX', pending, 0)
    if not token then
      clear(ep, order_key)
      fade(ep, order_key)
      return { 'idle', wakes, hand_over(ep, rules, wakes) }
    end
    event, attempts, failed, due = parse(token), 0, 0, 0
    if known[2] == token then attempts, failed, due = tonumber(known[3]), tonumber(known[4]), tonumber(known[5]) end
    local why
    resume = due
    if event.expires <= now then
      why = 'expired'
    elseif rules.coalesce and goes_stale(event) and successor(pending) then
      why = 'superseded'
    elseif attempts > 0 then
      local following = successor(pending)
      local hold_ends = following and following.taken + rules.hold
      if hold_ends and hold_ends <= now then
        why = 'parked'
      elseif hold_ends and hold_ends < due then
        resume = hold_ends
      end
    end
    if not why then
      content = first and seen.content or redis.call('HMGET', P .. 'event:' .. event.id, 'type', 'about', 'payload')
      if content[3] then break end
      why = 'dropped'
    end
    redis.call('LPOP', pending)
    first, seen.nothing_skipped = nil, false
    skip(ep, order_key, token, why)
    if why == 'parked' and not goes_stale(event) then
      move_aside(ep, token, attempts, failed, math.max(due, now), wakes)
    else
      conclude(ep, token, why)
    end
    if i == 100 then return { 'again', wakes } end
  end

  -- What is known of an event before this one tells nothing any more, but for when that was due: push looks at it.
  if known[2] and known[2] ~= token and tonumber(known[5]) > now then
    redis.call('HDEL', turn, 'event', 'attempts', 'failed', 'due')
  end
  -- A slot that has lapsed is nobody's; one that lives is not counted against its own lane.
  local has_slot = slot > now
  if not has_slot or resume > now then redis.call('ZREM', running, order_key) end
  if resume > now then
    redis.call('HDEL', turn, 'owner')
    redis.call('ZADD', P .. 'lanes:' .. ep, resume + lease, order_key)
    return { 'later', resume, wakes, hand_over(ep, rules, wakes) }
  end
  if not seen.is_admitted then
    local free, reopen = allowance(ep, rules, has_slot and 1 or 0, gate)
    if free < 1 then
      if has_slot then redis.call('ZREM', running, order_key) end
      redis.call('HDEL', turn, 'owner')
      admit(ep, order_key, 0)
      return { 'waiting', reopen or 0, wakes }
    end
  end
  spend(ep, rules)
  if is_fresh then
    if not seen.is_admitted then redis.call('ZREM', P .. 'waiting:' .. ep, order_key) end
    -- It has a time to live from its beginning on, and another one with every failure: longer than any event lives.
    if redis.call('HSET', turn, 'owner', owner) > 0 then redis.call('PEXPIRE', turn, ttl) end
  end
  -- Not with each of many events that follow one on the other: the lease was given a moment ago.
  if slot <= now + lease * 0.8 then
    hold_slot(ep, order_key, lease)
    redis.call('ZADD', P .. 'lanes:' .. ep, now + lease, order_key)
  end
  local skipped = seen.nothing_skipped and {} or redis.call('LRANGE', P .. 'skipped:' .. ep .. ':' .. order_key, 0, -1)
  return { 'due', wakes, token, attempts, failed, content[1], content[2], content[3], skipped }
end

-- Begins a lane that has a slot for its wake-up and no owner, instead of waking it up. Appends {order key, owner, turn}
-- to begun, flat; where there is no turn the wake-ups that are needed still, as order keys and times, to wakes.
local function begin_admitted(ep, rules, order_key, owner, seen, begun, wakes)
  seen.slot, seen.is_admitted = seen.slot or now + wake_lease, true
  local is_done, turn = pcall(begin, ep, rules, order_key, owner, true, seen)
  if is_done and turn[1] ~= 'again' then
    for _, value in ipairs({ order_key, owner, turn }) do begun[#begun + 1] = value end
    return
  end
  for _, value in ipairs({ order_key, 0, unpack(is_done and turn[2] or {}) }) do wakes[#wakes + 1] = value end
end
`
