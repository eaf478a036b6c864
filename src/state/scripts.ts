import { createHash } from 'node:crypto'

/** A Lua script and the digest Redis knows it by. */
export type Script = { readonly lua: string; readonly sha: string }

export const script = (lua: string): Script => ({ lua, sha: createHash('sha1').update(lua).digest('hex') })

/** How many appends there are between two looks at the age of a log's oldest entries, and how many one look drops. */
const APPENDS_PER_DROP = 16
const DROPPED_AT_ONCE = 64

/**
 * Shared by the scripts that use an app's log. `open_log(meta, log, candidate, replid)` returns the
 * log's epoch and offset, after starting a new epoch if the data set may have lost entries.
 *
 * `master_replid` names a history of writes: Redis takes a new one when a replica is promoted and when a
 * server starts, the two ways in which acknowledged writes can be missing. It is read inside of the
 * script (2 µs of the 32 that an event takes): a value polled by the client could be older than the
 * promotion, and then the lost offsets would be given out again in the old epoch.
 *
 * Epochs are numbers that grow (microseconds of the clock at their start, never below the last one), so
 * `<epoch>-<offset>` is a growing stream id, and what an earlier epoch left in the log stays readable.
 *
 * `keep(key, ms)` has a key outlive what is written now by `ms` at least, and by a tenth more at most: to look at its
 * time costs less than to set it, which is also written to the append-only file. Not for logs: their age is a limit.
 *
 * `append(log, position, retention, entry)` adds an entry. The log is bounded by `retention.length`
 * entries, about, and by `retention.ms` of age at `retention.now`: every so many appends those of the
 * oldest that are older are dropped, more at once than come in between. An entry without a time (of an
 * earlier version) goes with the first one after it that has one.
 */
const LOG_FUNCTIONS = `
local function number_text(n) return string.format('%.0f', n) end
local function keep(key, ms)
  if redis.call('PTTL', key) < tonumber(ms) then redis.call('PEXPIRE', key, number_text(tonumber(ms) * 1.1)) end
end
local function replication_id()
  return string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)') or ''
end
local function open_log(meta, log, candidate, replid)
  local known = redis.call('HMGET', meta, 'epoch', 'offset', 'replid')
  if known[1] and known[2] and known[3] == replid then return known[1], known[2] end
  local floor = tonumber(known[1] or '0')
  local last = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)
  if last[1] then floor = math.max(floor, tonumber(string.match(last[1][1], '^%d+'))) end
  local epoch = tonumber(candidate)
  if epoch <= floor then epoch = floor + 1 + epoch % 1000 end
  redis.call('HSET', meta, 'epoch', number_text(epoch), 'offset', '0', 'replid', replid)
  return number_text(epoch), '0'
end
local function written_at(fields)
  for field = 1, #fields, 2 do
    if fields[field] == 'at' then return tonumber(fields[field + 1]) end
  end
end
local function drop_older(log, since)
  local oldest = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)[1]
  if not oldest or (written_at(oldest[2]) or 0) >= since then return end
  local cut
  for _, entry in ipairs(redis.call('XRANGE', log, '-', '+', 'COUNT', ${DROPPED_AT_ONCE})) do
    local at = written_at(entry[2])
    if at and at >= since then break end
    if at then cut = entry[1] end
  end
  if not cut then return end
  local epoch, offset = string.match(cut, '(%d+)%-(%d+)')
  redis.call('XTRIM', log, 'MINID', epoch .. '-' .. number_text(tonumber(offset) + 1))
end
local function append(log, position, retention, entry)
  redis.call('XADD', log, 'MAXLEN', '~', retention.length, position.epoch .. '-' .. position.offset,
    'type', entry.type, 'key', entry.key, 'sub', entry.subscriber, 'at', retention.now, 'data', entry.data)
  if tonumber(position.offset) % ${APPENDS_PER_DROP} == 0 then
    drop_older(log, tonumber(retention.now) - tonumber(retention.ms))
  end
end
`

/**
 * Writes what a transition decided, if nobody else wrote since it was decided. Decides nothing itself.
 *
 * KEYS: 1 subscriber hash · 2 live set · 3 fence (the subscriber hash again when there is no fence) ·
 *   then for each app: meta, log · then for each write: the call's index set
 * ARGV: 1 fence token, or empty · 2 expected version, or empty for none · 3 new version · 4 head ·
 *   5 live calls · 6 `1` if there are live calls · 7 subscriber id · 8 state TTL ms · 9 position TTL ms ·
 *   10 log length · 11 log retention ms · 12 time in ms · 13 candidate epoch · 14 wake channel ·
 *   15 number of apps · then app ids ·
 *   then the number of writes and for each: call id, record (empty: forget the call), `1` if its sequence
 *   restarts, number of payloads (`-1`: no entry), and for an entry: type, order key, and for each
 *   payload: index of the app from 0, JSON up to where `sequence_number` belongs
 * Steps: refuse an older fence token · refuse another version · write the fields and indexes · for each
 *   entry take the call's next sequence number and append to each app's log · wake the readers
 * Returns: `['OK']`, `['FENCED']`, or `['CONFLICT', field, value, …]` with the hash as it is.
 */
export const COMMIT = script(`${LOG_FUNCTIONS}
local sub, live = KEYS[1], KEYS[2]
if ARGV[1] ~= '' then
  local granted = redis.call('GET', KEYS[3])
  if granted and tonumber(granted) > tonumber(ARGV[1]) then return { 'FENCED' } end
end
if (redis.call('HGET', sub, 'v') or '') ~= ARGV[2] then
  local present = redis.call('HGETALL', sub)
  table.insert(present, 1, 'CONFLICT')
  return present
end
redis.call('HSET', sub, 'v', ARGV[3], 'head', ARGV[4], 'live', ARGV[5])
keep(sub, ARGV[8])
if ARGV[6] == '1' then
  redis.call('SADD', live, ARGV[7])
  keep(live, ARGV[8])
else
  redis.call('SREM', live, ARGV[7])
end
local app_count = tonumber(ARGV[15])
local next_arg = 16 + app_count
local function take() next_arg = next_arg + 1 return ARGV[next_arg - 1] end
local replid
local epochs = {}
local retention = { length = ARGV[10], ms = ARGV[11], now = ARGV[12] }
for write = 1, tonumber(take()) do
  local call_id, record, restarts, payloads = take(), take(), take(), tonumber(take())
  local index = KEYS[3 + 2 * app_count + write]
  if record == '' then
    redis.call('HDEL', sub, 'c:' .. call_id, 's:' .. call_id)
    redis.call('SREM', index, ARGV[7])
  else
    redis.call('HSET', sub, 'c:' .. call_id, record)
    redis.call('SADD', index, ARGV[7])
    keep(index, ARGV[8])
  end
  if payloads >= 0 then
    local entry_type, order_key = take(), take()
    if restarts == '1' then redis.call('HDEL', sub, 's:' .. call_id) end
    local seq = number_text(redis.call('HINCRBY', sub, 's:' .. call_id, 1))
    for _ = 1, payloads do
      local app, payload = tonumber(take()), take()
      local meta, log = KEYS[4 + 2 * app], KEYS[5 + 2 * app]
      if not epochs[app] then
        replid = replid or replication_id()
        epochs[app] = open_log(meta, log, ARGV[13], replid)
      end
      append(log, { epoch = epochs[app], offset = number_text(redis.call('HINCRBY', meta, 'offset', 1)) }, retention, {
        type = entry_type, key = order_key, subscriber = ARGV[7],
        data = payload .. '"sequence_number":"' .. seq .. '"}',
      })
    end
  end
end
for app in pairs(epochs) do
  keep(KEYS[4 + 2 * app], ARGV[9])
  redis.call('PEXPIRE', KEYS[5 + 2 * app], ARGV[11])
  redis.call('PUBLISH', ARGV[14], ARGV[16 + app])
end
return { 'OK' }
`)

/**
 * Appends an entry that does not come from a call, once.
 *
 * KEYS: 1 meta · 2 log · 3 marker of the entry's id
 * ARGV: 1 candidate epoch · 2 position TTL ms · 3 log length · 4 log retention ms · 5 time in ms ·
 *   6 marker TTL ms · 7 type · 8 order key · 9 subscriber id, or empty · 10 payload · 11 wake channel ·
 *   12 app id
 * Steps: stop if the marker exists · set it · append · wake the readers
 * Returns: 1 if it was appended, 0 if it had been before.
 */
export const APPEND = script(`${LOG_FUNCTIONS}
local meta, log = KEYS[1], KEYS[2]
local epoch = open_log(meta, log, ARGV[1], replication_id())
if not redis.call('SET', KEYS[3], epoch, 'NX', 'PX', ARGV[6]) then return 0 end
append(log, { epoch = epoch, offset = number_text(redis.call('HINCRBY', meta, 'offset', 1)) },
  { length = ARGV[3], ms = ARGV[4], now = ARGV[5] },
  { type = ARGV[7], key = ARGV[8], subscriber = ARGV[9], data = ARGV[10] })
keep(meta, ARGV[2])
redis.call('PEXPIRE', log, ARGV[4])
redis.call('PUBLISH', ARGV[11], ARGV[12])
return 1
`)

/**
 * Reads a log after a position, and starts a new epoch first if the data set may have lost entries, so
 * that a reader learns of it at once and not by the next event.
 *
 * KEYS: 1 meta · 2 log
 * ARGV: 1 candidate epoch · 2 position TTL ms · 3 epoch to read in, `0` to read nothing · 4 offset to read
 *   after · 5 limit
 * Steps: open the log · keep its position alive if half of the TTL has passed · read
 * Returns: `[epoch, offset, offset of the present epoch's oldest entry or '', entries]`, entries as
 *   XRANGE gives them. The oldest entry is looked for only when what was asked for is not there, since to read an
 *   entry costs as much as the rest: '' also when nothing is missing.
 */
export const READ = script(`${LOG_FUNCTIONS}
local epoch, offset = open_log(KEYS[1], KEYS[2], ARGV[1], replication_id())
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) / 2 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
local entries = {}
if ARGV[3] ~= '0' then
  entries = redis.call('XRANGE', KEYS[2], '(' .. ARGV[3] .. '-' .. ARGV[4], ARGV[3] .. '-18446744073709551615',
    'COUNT', ARGV[5])
end
local next_id = ARGV[3] .. '-' .. number_text(tonumber(ARGV[4]) + 1)
local is_complete = entries[1] and entries[1][1] == next_id or ARGV[3] == epoch and ARGV[4] == offset
local oldest = is_complete and {} or
  redis.call('XRANGE', KEYS[2], epoch .. '-0', epoch .. '-18446744073709551615', 'COUNT', 1)
return { epoch, offset, oldest[1] and string.match(oldest[1][1], '%d+$') or '', entries }
`)

/**
 * Numbers a subscription at first sight.
 *
 * KEYS: 1 the subscription's generation · 2 the newest generation of the network
 * ARGV: 1 TTL ms
 * Steps: return what it has, kept alive · else take the next number, at least the time, so that
 *   generations grow even if Redis lost the last one
 * Returns: the generation as text.
 */
export const GENERATION = script(`
local known = redis.call('GET', KEYS[1])
if known then
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
  redis.call('PEXPIRE', KEYS[2], ARGV[1])
  return known
end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local generation = string.format('%.0f', math.max(tonumber(redis.call('GET', KEYS[2]) or '0') + 1, now))
redis.call('SET', KEYS[1], generation, 'PX', ARGV[1])
redis.call('SET', KEYS[2], generation, 'PX', ARGV[1])
return generation
`)
