import { BEGIN } from './begin.ts'
import { INTAKE, PRELUDE } from './prelude.ts'

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
 * Whether more than half of the room for records is taken although some were written lately: the database answers,
 * and cannot keep up.
 */
const IS_BEHIND = `
local function is_behind()
  return count_records() * 2 >= records_max and redis.call('EXISTS', P .. 'recording') or 0
end
`

/**
 * Tells whether the records are behind.
 *
 * KEYS  1 records
 * ARGV  see PRELUDE
 * Returns 1 or 0.
 */
export const BEHIND = `${PRELUDE}${IS_BEHIND}
return is_behind()
`

/**
 * Takes consecutive entries of an app's log for some of its endpoints: appends to lanes, stores the
 * events that anybody wants once, records them, and moves the cursors, all or nothing. An entry at or
 * before an endpoint's cursor is skipped, so reading the same again, by whomever, changes nothing. The
 * cursor of an endpoint stops where its backlog is full: the log keeps the rest. What has expired in the
 * log is taken like the rest, so that its end is recorded; no turn hands it out.
 *
 * Of the lanes that may be worked on now, the first so many are begun for the caller at once, which spares them
 * a question each; the others are woken up.
 *
 * KEYS  1 cursors of the app
 * ARGV  (see PRELUDE) 7 epoch, 8 offset of the last entry read, 9 how the names of owners begin, 10 how many lanes
 *       to begin, 11 number of entries;
 *       per entry: offset, event id, type, order key, about, payload;
 *       then per endpoint: endpoint id, its four rules, number of wanted entries, and per wanted entry its
 *       place (from 1), token and expiry, in log order
 * Returns {wake-ups as endpoint id, order key, time (0: now), …}, {endpoint ids with a full backlog},
 * {endpoint id, reopen, …}, whether the records are behind (see BEHIND), {endpoint id, its cursor or '', …},
 * whether somebody else had taken some of it, {endpoint id, order key, owner, turn (see BEGIN), …}}.
 */
export const TAKE = `${PRELUDE}${BEGIN}${INTAKE}${IS_BEHIND}
local epoch, last, places = ARGV[7], tonumber(ARGV[8]), tonumber(ARGV[10])
local entries, at = {}, 12
for i = 1, tonumber(ARGV[11]) do
  entries[i] = {
    offset = tonumber(ARGV[at]), id = ARGV[at + 1], kind = ARGV[at + 2], order_key = ARGV[at + 3],
    about = ARGV[at + 4], payload = ARGV[at + 5], takers = {},
  }
  at = at + 6
end
local wakes, full, reopens, cursors, is_shared, admitted = {}, {}, {}, {}, 0, {}

local function wake(ep, order_key, time)
  wakes[#wakes + 1] = ep
  wakes[#wakes + 1] = order_key
  wakes[#wakes + 1] = time
end

while at <= #ARGV do
  local ep, rules, n = ARGV[at], rules_at(at + 1), tonumber(ARGV[at + 5])
  at = at + 6
  local cursor = redis.call('HGET', KEYS[1], ep) or ''
  local cursor_epoch, cursor_offset = string.match(cursor, '^(%w+):(%d+)$')
  cursor_offset = tonumber(cursor_offset)
  if cursor_epoch == epoch and n > 0 and entries[tonumber(ARGV[at])].offset <= cursor_offset then is_shared = 1 end
  if cursor_epoch == epoch and cursor_offset < last then
    local count, taken, up_to = tonumber(redis.call('HGET', P .. 'counts', ep) or '0'), 0, ARGV[8]
    local free, reopen
    for i = at, at + 3 * n - 3, 3 do
      local entry, token, expires = entries[tonumber(ARGV[i])], ARGV[i + 1], ARGV[i + 2]
      if entry.offset > cursor_offset then
        if count + taken >= backlog_max then
          full[#full + 1] = ep
          up_to = string.format('%.0f', entry.offset - 1)
          break
        end
        store(entry.id, entry.kind, entry.about, entry.payload)
        entry.takers[#entry.takers + 1] = ep .. ' ' .. token
        local todo, turn, length = push(ep, rules, entry.order_key, token, expires)
        if todo == 'now' then
          if not free then
            local others = {}
            free, reopen = room(ep, rules, others)
            for _, other in ipairs(others) do wake(ep, other, 0) end
          end
          -- A lane that is new, and has a place, needs nothing more for its slot.
          local is_begun, is_new = #admitted < places, length == 1
          if admit(ep, entry.order_key, free, is_begun and is_new and lease or wake_lease) then
            free = free - 1
            if is_begun then
              local seen = { turn = turn, slot = now + (is_new and lease or wake_lease) }
              if is_new then seen.first, seen.content = token, { entry.kind, entry.about, entry.payload } end
              admitted[#admitted + 1] = { ep = ep, rules = rules, order_key = entry.order_key, seen = seen }
            else
              wake(ep, entry.order_key, 0)
            end
          elseif reopen and redis.call('ZCARD', P .. 'waiting:' .. ep) == 1 then
            -- Once is enough: it is asked for again when the gate opens and lanes are left.
            reopens[#reopens + 1] = ep
            reopens[#reopens + 1] = reopen
          end
        elseif todo then
          wake(ep, entry.order_key, todo)
        end
        taken = taken + 1
      end
    end
    if taken > 0 then
      redis.call('HINCRBY', P .. 'counts', ep, taken)
      prolong(ep)
    end
    cursor = epoch .. ':' .. up_to
    redis.call('HSET', KEYS[1], ep, cursor)
  end
  cursors[#cursors + 1] = ep
  cursors[#cursors + 1] = cursor
  at = at + 3 * n
end
for _, entry in ipairs(entries) do
  if #entry.takers > 0 then
    -- The app and the event are named by the tokens.
    record('k', 'taken', 'type', entry.kind, 'key', entry.order_key, 'about', entry.about, 'at', ARGV[1],
      'payload', entry.payload, 'to', table.concat(entry.takers, '\\n'))
  end
end
-- Last, when everything that a turn may find expired is counted and recorded as taken.
local begun = {}
for i, lane in ipairs(admitted) do
  local turns, others = {}, {}
  begin_admitted(lane.ep, lane.rules, lane.order_key, ARGV[9] .. ':' .. i, lane.seen, turns, others)
  if #turns > 0 then
    begun[#begun + 1] = lane.ep
    for _, value in ipairs(turns) do begun[#begun + 1] = value end
  end
  for n = 1, #others, 2 do wake(lane.ep, others[n], others[n + 1]) end
end
finish()
return { wakes, full, reopens, is_behind(), cursors, is_shared, begun }
`

/**
 * Puts recorded events of one endpoint into lanes once more, until its backlog is full. One that has not
 * started, or was removed meanwhile, takes nothing: nobody would look after its lanes.
 *
 * KEYS  1 counts, 2 cursors of the app
 * ARGV  (see PRELUDE) 7-11 endpoint and rules; then per event: event id, type, order key, about, payload,
 *       token, expiry
 * Returns {number of events taken, or -1 when the endpoint has not started, wake-ups, reopen, number of events
 * passed over because a replay of them is pending already}; wake-ups as order keys, all for now.
 */
export const REPLAY = `${PRELUDE}${INTAKE}
local ep, rules, wakes, taken, passed, reopen = ARGV[7], rules_at(8), {}, 0, 0, 0
if redis.call('HEXISTS', KEYS[2], ep) == 0 then return { -1, wakes, 0, 0 } end
local places = backlog_max - tonumber(redis.call('HGET', KEYS[1], ep) or '0')
local free, gate_opens
for i = 12, #ARGV, 7 do
  if taken >= places then break end
  local order_key, token, expires = ARGV[i + 2], ARGV[i + 5], ARGV[i + 6]
  -- Pending until then, or until it is concluded.
  local event, mark = P .. 'event:' .. ARGV[i], 'replay:' .. ep
  if tonumber(redis.call('HGET', event, mark) or 0) > now then
    passed = passed + 1
  else
    store(ARGV[i], ARGV[i + 1], ARGV[i + 3], ARGV[i + 4])
    redis.call('HSET', event, mark, expires)
    record('k', 'replayed', 'ep', ep, 'token', token, 'at', ARGV[1])
    if push(ep, rules, order_key, token, expires) == 'now' then
      if not free then free, gate_opens = room(ep, rules, wakes) end
      if admit(ep, order_key, free) then
        free = free - 1
        wakes[#wakes + 1] = order_key
      else
        reopen = gate_opens or 0
      end
    end
    taken = taken + 1
  end
end
if taken > 0 then
  redis.call('HINCRBY', KEYS[1], ep, taken)
  prolong(ep)
end
finish()
return { taken, wakes, reopen, passed }
`
