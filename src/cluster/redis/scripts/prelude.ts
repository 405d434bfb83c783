/**
 * What every script of a call needs: names of keys, places of sessions, and what is told to other nodes. Numbers are compared
 * as the strings that Redis gives.
 */
export const prelude = `
local call = redis.call
local P, E = ARGV[1], ARGV[2]

local function text(number) return string.format('%.0f', number) end
local function nextEpoch() return text(call('INCR', P .. 'e')) end
local function alive(node) return node == E or call('EXISTS', P .. 'n:' .. node) == 1 end
local function tell(node, kind, content) call('PUBLISH', P .. 'c:' .. node, kind .. content) end

-- home, holder and next node of a session, each with its epoch
local function places(packed)
  local w = {}
  for word in string.gmatch(packed, '%d+') do w[#w + 1] = word end
  return { home = w[1], he = w[2], holder = w[3], oe = w[4], pass = w[5], pe = w[6] }
end

local function setPlaces(client, p)
  call('HSET', P .. 's:' .. client, 'R', table.concat({ p.home, p.he, p.holder, p.oe, p.pass, p.pe }, ' '))
end

local function has(p, node) return p.home == node or p.holder == node or p.pass == node end

local function refresh(client, node, p)
  if has(p, node) then call('SADD', P .. 'own:' .. node, client) else call('SREM', P .. 'own:' .. node, client) end
end

local function inboxEnd()
  if call('EXISTS', P .. 'in:' .. E) == 0 then return '' end
  local info = call('XINFO', 'STREAM', P .. 'in:' .. E)
  for i = 1, #info, 2 do if info[i] == 'last-generated-id' then return info[i + 1] end end
end

-- adds entries to the log of routes; changes are fields and values of the stream, at most 1000 of each to an entry
local function logRoutes(fields, binding)
  local number
  local i = 1
  repeat
    number = text(call('HINCRBY', P .. 'log', 'rn', 1))
    local entry = { 'XADD', P .. 'rlog', 'MAXLEN', '~', 10000, number .. '-0', 'v', '1' }
    for _ = 1, math.min(2000, #fields - i + 1) do
      entry[#entry + 1] = fields[i]
      i = i + 1
    end
    call(unpack(entry))
  until i > #fields
  if binding then call('HSET', P .. 'log', 'rb', number) end
  return number
end

-- one change of a table of routes, and its field and value in the log
local function changeRoute(node, key, kind, value, fields)
  if kind == 's' then call('HSET', P .. 'r:' .. node, key, value) else call('HDEL', P .. 'r:' .. node, key) end
  fields[#fields + 1] = kind .. node .. ':' .. key
  fields[#fields + 1] = value
end

-- what is stored of a session but its queue
local function view(client, epoch)
  local fields = call('HGETALL', P .. 's:' .. client)
  return { epoch, call('ZCARD', P .. 'q:' .. client), fields }
end
`
