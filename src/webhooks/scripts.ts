/**
 * The Lua of the delivery engine. Names used in the contracts:
 *
 * - lane: the events of one (endpoint, order key), worked off one after the other by one owner;
 * - slot: the right to work on a lane; an endpoint has `slots` of them, held in `running` with a lease,
 *   so that a crashed owner's slot lapses. Lanes without one stand in `waiting`, oldest first, and are
 *   handed a slot together with a wake-up when one becomes free: nobody polls for it;
 * - wake-up: an order key in a script's answer, for which the caller must now add a job. If the caller
 *   dies before that, `sweep` answers it again, because `lanes` says when each lane is to be looked after.
 *
 * Event keys are `ch:{wh}:event:<event id>` and are derived here from the event ids in the lists; they
 * have the hash tag of the declared keys, so they are in the same Redis Cluster slot.
 * Times are milliseconds since the epoch, durations milliseconds.
 */
const PRELUDE = `
local P = 'ch:{wh}:'

local function prune(running, now)
  redis.call('ZREMRANGEBYSCORE', running, '-inf', now)
end

-- Gives free slots to the lanes that have waited longest; appends their order keys to wakes.
local function handover(ep, now, slots, lease, wakes)
  local running, waiting = P .. 'running:' .. ep, P .. 'waiting:' .. ep
  if redis.call('EXISTS', waiting) == 0 then return end
  prune(running, now)
  local free = slots - redis.call('ZCARD', running)
  while free > 0 do
    local popped = redis.call('ZPOPMIN', waiting)
    if #popped == 0 then return end
    if redis.call('ZSCORE', P .. 'lanes:' .. ep, popped[1]) then
      redis.call('ZADD', running, now + lease, popped[1])
      wakes[#wakes + 1] = popped[1]
      free = free - 1
    end
  end
end

-- One lane fewer refers to the event; the last one takes it away.
local function release(eventId)
  local key = P .. 'event:' .. eventId
  if redis.call('EXISTS', key) == 1 and redis.call('HINCRBY', key, 'refs', -1) <= 0 then
    redis.call('UNLINK', key)
  end
end

local function uncount(ep, n)
  if redis.call('HINCRBY', P .. 'counts', ep, -n) <= 0 then redis.call('HDEL', P .. 'counts', ep) end
end

local function clear(ep, orderKey)
  redis.call('ZREM', P .. 'lanes:' .. ep, orderKey)
  redis.call('ZREM', P .. 'running:' .. ep, orderKey)
  redis.call('ZREM', P .. 'waiting:' .. ep, orderKey)
  redis.call('DEL', P .. 'turn:' .. ep .. ':' .. orderKey)
end
`

/**
 * Starts an endpoint at a position, unless it has started.
 *
 * KEYS  1 cursors of the app, 2 apps
 * ARGV  1 endpoint id, 2 position, 3 app id
 * Returns the endpoint's cursor.
 */
export const OPEN = `
redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2])
redis.call('SADD', KEYS[2], ARGV[3])
return redis.call('HGET', KEYS[1], ARGV[1])
`

/**
 * Moves an endpoint's cursor over a gap, unless somebody else has moved it.
 *
 * KEYS  1 cursors of the app
 * ARGV  1 endpoint id, 2 position it must be at, 3 position to put it at
 * Returns 1 when it was moved.
 */
export const JUMP = `
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
`

/**
 * Takes consecutive entries of an app's log for some of its endpoints: appends to lanes, stores the
 * events that anybody wants once, and moves the cursors, all or nothing. An entry at or before an
 * endpoint's cursor is skipped, so reading the same again, by whomever, changes nothing. The cursor of an
 * endpoint stops where its backlog is full: the log keeps the rest.
 *
 * KEYS  1 cursors of the app, 2 counts
 * ARGV  1 epoch, 2 now, 3 time to live of events and lanes, 4 backlog limit, 5 slots,
 *       6 lease of a slot given with a wake-up, 7 offset of the last entry read, 8 number of entries;
 *       per entry: offset, event id, type, sequence or '', payload;
 *       then per endpoint: endpoint id, number of wanted entries, and per wanted entry its place (from 1)
 *       and its order key, in log order
 * Returns {wake-ups as endpoint id, order key, …}, {endpoint ids with a full backlog}.
 */
export const TAKE = `${PRELUDE}
local epoch, now, ttl = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local backlogMax, slots, lease, last = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local entries, at = {}, 9
for i = 1, tonumber(ARGV[8]) do
  entries[i] = { offset = tonumber(ARGV[at]), id = ARGV[at + 1], first = at }
  at = at + 5
end
local wakes, full = {}, {}

local function store(entry)
  local key = P .. 'event:' .. entry.id
  if redis.call('HINCRBY', key, 'refs', 1) == 1 then
    local i = entry.first
    redis.call('HSET', key, 'type', ARGV[i + 2], 'at', ARGV[2], 'sequence', ARGV[i + 3], 'payload', ARGV[i + 4])
  end
  redis.call('PEXPIRE', key, ttl)
end

local function wake(ep, orderKey)
  local lanes, running, waiting = P .. 'lanes:' .. ep, P .. 'running:' .. ep, P .. 'waiting:' .. ep
  redis.call('ZADD', lanes, 'NX', now + lease, orderKey)
  -- With every event, so that the list of lanes outlives whatever is pending in them.
  redis.call('PEXPIRE', lanes, ttl)
  if redis.call('ZSCORE', running, orderKey) then return end
  if tonumber(redis.call('HGET', P .. 'turn:' .. ep .. ':' .. orderKey, 'due') or '0') > now then return end
  if redis.call('ZSCORE', waiting, orderKey) then return end
  if redis.call('ZCARD', running) < slots then
    redis.call('ZADD', running, now + lease, orderKey)
    redis.call('PEXPIRE', running, ttl)
    wakes[#wakes + 1] = ep
    wakes[#wakes + 1] = orderKey
  else
    redis.call('ZADD', waiting, now, orderKey)
    redis.call('PEXPIRE', waiting, ttl)
  end
end

while at <= #ARGV do
  local ep, n = ARGV[at], tonumber(ARGV[at + 1])
  at = at + 2
  local cursorEpoch, cursorOffset = string.match(redis.call('HGET', KEYS[1], ep) or '', '^(%w+):(%d+)$')
  cursorOffset = tonumber(cursorOffset)
  if cursorEpoch == epoch and cursorOffset < last then
    local count, taken, upTo = tonumber(redis.call('HGET', KEYS[2], ep) or '0'), 0, ARGV[7]
    prune(P .. 'running:' .. ep, now)
    for i = at, at + 2 * n - 2, 2 do
      local entry, orderKey = entries[tonumber(ARGV[i])], ARGV[i + 1]
      if entry.offset > cursorOffset then
        if count + taken >= backlogMax then
          full[#full + 1] = ep
          upTo = string.format('%.0f', entry.offset - 1)
          break
        end
        local pending = P .. 'pending:' .. ep .. ':' .. orderKey
        redis.call('RPUSH', pending, entry.id)
        redis.call('PEXPIRE', pending, ttl)
        store(entry)
        wake(ep, orderKey)
        taken = taken + 1
      end
    end
    if taken > 0 then redis.call('HINCRBY', KEYS[2], ep, taken) end
    redis.call('HSET', KEYS[1], ep, epoch .. ':' .. upTo)
  end
  at = at + 2 * n
end
return { wakes, full }
`

/**
 * Asks for the next event of a lane, taking (fresh) or keeping a slot. A fresh owner replaces any other:
 * the queue runs one job per lane, so the other one is dead or has lost its lock.
 *
 * KEYS  1 pending, 2 turn, 3 lanes, 4 running, 5 waiting
 * ARGV  1 endpoint id, 2 order key, 3 owner, 4 '1' when fresh, 5 now, 6 slots, 7 lease, 8 time to live,
 *       9 lease of a slot given with a wake-up
 * Returns one of
 *   {'idle', wake-ups}                  nothing pending
 *   {'full'}                            no slot free; the lane waits for one
 *   {'lost'}                            somebody else owns the lane
 *   {'later', due, wake-ups}            the first event is not due; the slot is given back
 *   {'gone', event id, attempts}        the event is no longer stored
 *   {'due', event id, attempts, type, accepted at, sequence, payload}
 */
export const BEGIN = `${PRELUDE}
local ep, orderKey, owner, now = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[5])
local slots, lease = tonumber(ARGV[6]), tonumber(ARGV[7])
local wakes = {}
if ARGV[4] == '0' and redis.call('HGET', KEYS[2], 'owner') ~= owner then return { 'lost' } end
local head = redis.call('LINDEX', KEYS[1], 0)
if not head then
  clear(ep, orderKey)
  handover(ep, now, slots, tonumber(ARGV[9]), wakes)
  return { 'idle', wakes }
end
if ARGV[4] == '1' then
  prune(KEYS[4], now)
  if not redis.call('ZSCORE', KEYS[4], orderKey) and redis.call('ZCARD', KEYS[4]) >= slots then
    redis.call('ZADD', KEYS[5], 'NX', now, orderKey)
    redis.call('PEXPIRE', KEYS[5], ARGV[8])
    return { 'full' }
  end
  redis.call('ZREM', KEYS[5], orderKey)
end
local turn = redis.call('HMGET', KEYS[2], 'event', 'attempts', 'due')
local attempts, due = 0, 0
if turn[1] == head then attempts, due = tonumber(turn[2]), tonumber(turn[3]) end
redis.call('HSET', KEYS[2], 'owner', owner, 'event', head, 'attempts', attempts, 'due', due)
redis.call('PEXPIRE', KEYS[2], ARGV[8])
if due > now then
  redis.call('ZREM', KEYS[4], orderKey)
  redis.call('ZADD', KEYS[3], due + lease, orderKey)
  handover(ep, now, slots, tonumber(ARGV[9]), wakes)
  return { 'later', due, wakes }
end
redis.call('ZADD', KEYS[4], now + lease, orderKey)
redis.call('PEXPIRE', KEYS[4], ARGV[8])
redis.call('ZADD', KEYS[3], now + lease, orderKey)
local event = redis.call('HMGET', P .. 'event:' .. head, 'type', 'at', 'sequence', 'payload')
if not event[4] then return { 'gone', head, attempts } end
return { 'due', head, attempts, event[1], event[2], event[3], event[4] }
`

/**
 * Takes the first event off its lane, delivered or given up. Does so for a former owner too: what it
 * delivered need not be sent again.
 *
 * KEYS  1 pending, 2 turn, 3 lanes
 * ARGV  1 endpoint id, 2 order key, 3 event id, 4 now, 5 slots, 6 lease of a slot given with a wake-up
 * Returns {'more'}, {'idle', wake-ups} when the lane is empty now, or {'lost'} when the first event is
 * another one.
 */
export const SETTLE = `${PRELUDE}
local ep, orderKey, eventId = ARGV[1], ARGV[2], ARGV[3]
if redis.call('LINDEX', KEYS[1], 0) ~= eventId then return { 'lost' } end
redis.call('LPOP', KEYS[1])
release(eventId)
uncount(ep, 1)
redis.call('HDEL', KEYS[2], 'event', 'attempts', 'due')
if redis.call('EXISTS', KEYS[1]) == 1 then return { 'more' } end
local wakes = {}
clear(ep, orderKey)
handover(ep, tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), wakes)
return { 'idle', wakes }
`

/**
 * Leaves the first event for later and gives the slot back.
 *
 * KEYS  1 pending, 2 turn, 3 lanes, 4 running
 * ARGV  1 endpoint id, 2 order key, 3 owner, 4 event id, 5 due, 6 attempts to add (0 or 1), 7 now,
 *       8 slots, 9 lease, 10 lease of a slot given with a wake-up
 * Returns {'ok', wake-ups} or {'lost'}.
 */
export const POSTPONE = `${PRELUDE}
local ep, orderKey, now = ARGV[1], ARGV[2], tonumber(ARGV[7])
if redis.call('HGET', KEYS[2], 'owner') ~= ARGV[3] then return { 'lost' } end
if redis.call('LINDEX', KEYS[1], 0) ~= ARGV[4] then return { 'lost' } end
redis.call('HINCRBY', KEYS[2], 'attempts', ARGV[6])
redis.call('HSET', KEYS[2], 'due', ARGV[5])
redis.call('ZREM', KEYS[4], orderKey)
redis.call('ZADD', KEYS[3], tonumber(ARGV[5]) + tonumber(ARGV[9]), orderKey)
local wakes = {}
handover(ep, now, tonumber(ARGV[8]), tonumber(ARGV[10]), wakes)
return { 'ok', wakes }
`

/**
 * Finds lanes of an endpoint that nobody looks after although it is time: their wake-up was lost, or the
 * owner of their slot died. Puts off each lane it answers, so that two sweepers do not repeat each other.
 * Events that have outlived their time to live are gone without being settled: an endpoint without lanes
 * has none, whatever was counted.
 *
 * KEYS  1 lanes, 2 running, 3 waiting
 * ARGV  1 endpoint id, 2 now, 3 slots, 4 lease of a slot given with a wake-up, 5 how long to put off,
 *       6 how many at most
 * Returns {wake-ups}.
 */
export const SWEEP = `${PRELUDE}
local ep, now, slots, lease = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local wakes = {}
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('HDEL', P .. 'counts', ep)
  return wakes
end
prune(KEYS[2], now)
handover(ep, now, slots, lease, wakes)
for _, orderKey in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[6])) do
  redis.call('ZADD', KEYS[1], now + tonumber(ARGV[5]), orderKey)
  local busy = redis.call('ZSCORE', KEYS[2], orderKey) or redis.call('ZSCORE', KEYS[3], orderKey)
  if not busy then
    if redis.call('ZCARD', KEYS[2]) < slots then
      redis.call('ZADD', KEYS[2], now + lease, orderKey)
      wakes[#wakes + 1] = orderKey
    else
      redis.call('ZADD', KEYS[3], now, orderKey)
    end
  end
end
return wakes
`

/**
 * Takes everything away that belongs to an endpoint; to be called until nothing is left.
 *
 * KEYS  1 cursors of the app, 2 apps, 3 lanes, 4 running, 5 waiting
 * ARGV  1 endpoint id, 2 app id, 3 lanes per call
 * Returns {number of events dropped, number of lanes left}.
 */
export const REMOVE = `${PRELUDE}
local ep, dropped = ARGV[1], 0
redis.call('HDEL', KEYS[1], ep)
if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('SREM', KEYS[2], ARGV[2]) end
for _, orderKey in ipairs(redis.call('ZRANGE', KEYS[3], 0, tonumber(ARGV[3]) - 1)) do
  local pending = P .. 'pending:' .. ep .. ':' .. orderKey
  for _, eventId in ipairs(redis.call('LRANGE', pending, 0, -1)) do
    release(eventId)
    dropped = dropped + 1
  end
  redis.call('DEL', pending)
  clear(ep, orderKey)
end
local left = redis.call('ZCARD', KEYS[3])
if left == 0 then
  redis.call('DEL', KEYS[4], KEYS[5])
  redis.call('HDEL', P .. 'counts', ep)
else
  uncount(ep, dropped)
end
return { dropped, left }
`
