/**
 * The transaction. It is read into a table first, then everything that could refuse it is looked at, also by commands that
 * fail on a key of another type, and only then something is written.
 *
 * A session is a hash s:CLIENT (R places, H head, p last position, b bytes of its queue, S… subscriptions, h… held identifiers,
 * i… and c… Packet Identifiers and received entries by position) and a sorted set q:CLIENT, whose members begin with their
 * position, so that their order is that of the positions.
 */
export const transactScripts = `
local transact = {}
-- frames of this batch
local sent = 0

local function readSession(args)
  local s = { client = args(), epoch = args(), adopt = args(), release = args(), ended = args() == '1', head = args() }
  s.last = args()
  s.subs, s.queue, s.held = {}, {}, {}
  for _ = 1, tonumber(args()) do s.subs[#s.subs + 1] = { args(), args() } end
  for _ = 1, tonumber(args()) do
    local kind = args()
    local change = { kind = kind, at = args(), position = args() }
    if kind == 'e' then change.record, change.identifier, change.received = args(), args(), args()
    elseif kind == 'i' then change.identifier, change.received = args(), args() end
    s.queue[#s.queue + 1] = change
  end
  for _ = 1, tonumber(args()) do s.held[#s.held + 1] = { args(), args() } end
  return s
end

local function readTransaction(args)
  local t = { fenced = args() == '1', routedAt = args(), sessions = {}, frames = {}, taken = {}, retained = {}, shared = {}, seen = {} }
  for _ = 1, tonumber(args()) do t.sessions[#t.sessions + 1] = readSession(args) end
  for _ = 1, tonumber(args()) do t.frames[#t.frames + 1] = { args(), args() } end
  for _ = 1, tonumber(args()) do t.taken[#t.taken + 1] = args() end
  for _ = 1, tonumber(args()) do t.retained[#t.retained + 1] = { args(), args(), args() } end
  for _ = 1, tonumber(args()) do t.shared[#t.shared + 1] = { args(), args() } end
  return t
end

local function refusal(t)
  local fenced = {}
  for _, s in ipairs(t.sessions) do
    local stored = call('HMGET', P .. 's:' .. s.client, 'R', 'H', 'p')
    s.places = stored[1] and places(stored[1])
    s.stored = stored[2] and true
    s.before = tonumber(stored[3] or '0')
    if #s.queue > 0 or s.ended then s.length = call('ZCARD', P .. 'q:' .. s.client) end
    local p = s.places
    if t.fenced and not (p and p.holder == E and p.oe == s.epoch) then fenced[#fenced + 1] = s.client end
  end
  if #fenced > 0 then return 'f' .. cmsgpack.pack(fenced) end
  if t.routedAt ~= '' then
    local binding = call('HGET', P .. 'log', 'rb')
    if binding and tonumber(binding) > tonumber(t.routedAt) then return 's' .. t.routedAt end
  end
  local gone = {}
  for _, frame in ipairs(t.frames) do
    if not alive(frame[1]) then gone[#gone + 1] = frame[1] end
  end
  if #gone > 0 then return 'g' .. table.concat(gone, ' ') end
end

-- what an entry of a queue says of its payload: its length, and the number of the message where that lies elsewhere
local function payloadOf(member)
  local flags, length = struct.unpack('>I1I4', member, 9)
  if flags >= 64 then return length, string.sub(member, 14, 21) end
  return length
end

local function forget(client, member, shared)
  local key = P .. 'm:' .. shared
  call('SREM', key .. ':r', string.sub(member, 1, 8) .. client)
  if call('EXISTS', key .. ':r') == 0 then call('DEL', key) end
end

-- no memory for a counter: it is counted anew when it is read
local function count(key, field, by)
  local counted = redis.pcall('HINCRBY', key, field, by)
  if type(counted) == 'table' then call('HDEL', key, field) end
end

local function remove(s, at)
  local queue = P .. 'q:' .. s.client
  local found = call('ZRANGEBYLEX', queue, '[' .. at, '[' .. at .. '\\255')
  for _, member in ipairs(found) do
    local length, shared = payloadOf(member)
    call('ZREM', queue, member)
    s.bytes = s.bytes - length
    if shared then forget(s.client, member, shared) end
  end
end

local function clear(t, s, key)
  local fields = call('HKEYS', key)
  local others = {}
  for _, field in ipairs(fields) do
    if field ~= 'R' then others[#others + 1] = field end
  end
  for i = 1, #others, 5000 do call('HDEL', key, unpack(others, i, math.min(i + 4999, #others))) end
  local queue = P .. 'q:' .. s.client
  -- too much for one call goes in slices, unless there is no memory to note it
  local remains = s.length > 1000 and redis.pcall('INCR', P .. 'e')
  if type(remains) == 'number' then
    call('HSET', P .. 'x', text(remains), s.client)
    call('RENAME', queue, P .. 'x:' .. text(remains))
    t.remains = true
  else
    for _, member in ipairs(call('ZRANGE', queue, 0, -1)) do
      local _, shared = payloadOf(member)
      if shared then forget(s.client, member, shared) end
    end
    call('DEL', queue)
  end
  s.stored, s.before = false, 0
end

local queueChange = {}

function queueChange.e(s, key, change)
  if tonumber(change.position) <= s.before then
    remove(s, change.at)
    call('HDEL', key, 'i' .. change.position, 'c' .. change.position)
  end
  call('ZADD', P .. 'q:' .. s.client, 0, change.record)
  local length, shared = payloadOf(change.record)
  s.bytes = s.bytes + length
  if shared then call('SADD', P .. 'm:' .. shared .. ':r', change.at .. s.client) end
  if change.identifier ~= '' then call('HSET', key, 'i' .. change.position, change.identifier) end
  if change.received ~= '' then call('HSET', key, 'c' .. change.position, '1') end
end

function queueChange.i(s, key, change)
  if call('ZLEXCOUNT', P .. 'q:' .. s.client, '[' .. change.at, '[' .. change.at .. '\\255') == 0 then return end
  if change.identifier ~= '' then call('HSET', key, 'i' .. change.position, change.identifier) end
  if change.received ~= '' then call('HSET', key, 'c' .. change.position, '1') end
end

function queueChange.d(s, key, change)
  -- it came and went in one transaction
  if tonumber(change.position) > s.before then return end
  remove(s, change.at)
  call('HDEL', key, 'i' .. change.position, 'c' .. change.position)
end

local function applySession(t, s)
  local key = P .. 's:' .. s.client
  if t.seen[s.client] then
    -- another part of the transaction has changed it
    s.stored = call('HEXISTS', key, 'H') == 1
    s.before = tonumber(call('HGET', key, 'p') or '0')
    s.length = call('ZCARD', P .. 'q:' .. s.client)
  end
  t.seen[s.client] = true
  if s.ended then clear(t, s, key) end
  if s.head ~= '' then
    call('HSET', key, 'H', s.head)
    if not t.fenced and call('HSETNX', key, 'R', '1 1 1 1 0 0') == 1 then call('SADD', P .. 'own:1', s.client) end
    s.stored = true
  end
  if s.stored then
    for _, sub in ipairs(s.subs) do
      if sub[2] == '' then call('HDEL', key, 'S' .. sub[1]) else call('HSET', key, 'S' .. sub[1], sub[2]) end
    end
    for _, held in ipairs(s.held) do
      if held[2] == '' then call('HDEL', key, 'h' .. held[1]) else call('HSET', key, 'h' .. held[1], '1') end
    end
    s.bytes = 0
    for _, change in ipairs(s.queue) do queueChange[change.kind](s, key, change) end
    if s.bytes ~= 0 then
      -- a queue that was empty begins its count anew
      if s.length == 0 or s.ended then call('HSET', key, 'b', s.bytes) else count(key, 'b', s.bytes) end
    end
    if tonumber(s.last) > s.before then call('HSET', key, 'p', s.last) end
  elseif s.ended and not t.fenced then
    call('DEL', key)
    call('SREM', P .. 'own:1', s.client)
  end
  if s.adopt ~= '' then call('SREM', P .. 'own:' .. s.adopt, s.client) end
  if s.release == '1' then release(s.client, s.places, s.stored) end
end

-- a store has no other nodes that read the log
local function retain(fenced, topic, record, logged)
  if record == '' then call('HDEL', P .. 'ret', topic) else call('HSET', P .. 'ret', topic, record) end
  if not fenced then return '0' end
  local number = text(call('HINCRBY', P .. 'log', 'tn', 1))
  call('XADD', P .. 'retlog', 'MAXLEN', '~', 10000, number .. '-0', 'n', E, 't', topic, logged, logged == 'm' and record or '')
  return number
end

function transact.exec(args)
  local t = readTransaction(args)
  local refused = refusal(t)
  if refused then return refused end
  for _, s in ipairs(t.sessions) do applySession(t, s) end
  for _, message in ipairs(t.shared) do
    if call('EXISTS', P .. 'm:' .. message[1] .. ':r') == 1 then call('SET', P .. 'm:' .. message[1], message[2]) end
  end
  local routedAt = t.routedAt
  if #t.frames > 0 and routedAt == '' then routedAt = call('HGET', P .. 'log', 'rn') or '0' end
  for _, frame in ipairs(t.frames) do
    sent = sent + 1
    call('XADD', P .. 'in:' .. frame[1], '*', 'o', E, 'v', routedAt, 'b', frame[2], 'q', ARGV[4] .. ' ' .. sent)
  end
  for i = 1, #t.taken, 5000 do call('XDEL', P .. 'in:' .. E, unpack(t.taken, i, math.min(i + 4999, #t.taken))) end
  local number = '0'
  for _, change in ipairs(t.retained) do number = retain(t.fenced, unpack(change)) end
  return 'k' .. number .. (t.remains and ' x' or '')
end

-- a slice of what ended sessions have left: '1' if there is more
local sweep = {}

function sweep.exec()
  local remains = call('HSCAN', P .. 'x', 0)[2]
  if #remains == 0 then return '0' end
  local key, client = P .. 'x:' .. remains[1], remains[2]
  for _, member in ipairs(call('ZRANGE', key, 0, 999)) do
    local _, shared = payloadOf(member)
    if shared then forget(client, member, shared) end
  end
  call('ZREMRANGEBYRANK', key, 0, 999)
  if call('EXISTS', key) == 0 then call('HDEL', P .. 'x', remains[1]) end
  return '1'
end

function transact.answer(args, small)
  local kind, rest = string.sub(small, 1, 1), string.sub(small, 2)
  if kind == 'f' then return { kind, cmsgpack.unpack(rest) } end
  if kind ~= 's' then return { kind, rest } end
  return { kind, call('XRANGE', P .. 'rlog', '(' .. rest .. '-0', '+') }
end
`
