/** Whether what lies under the names that all nodes share is of the right kind. */
const checkTypes = `
local kinds = {
  e = 'string', lock = 'string', nodes = 'hash', log = 'hash', reap = 'hash', ret = 'hash', x = 'hash', rlog = 'stream',
  retlog = 'stream', ['n:1'] = 'hash', ['own:1'] = 'set',
}
for name, kind in pairs(kinds) do
  local found = redis.call('TYPE', P .. name).ok
  if found ~= 'none' and found ~= kind then return { 'type', name, found } end
end
`

/** KEYS[1] the hash of nodes. ARGV: prefix, nodeId, description of the node as JSON, format, milliseconds of the lease. */
export const joinScript = `
local P = ARGV[1]
${checkTypes}
local nodes = redis.call('HGETALL', KEYS[1])
for i = 1, #nodes, 2 do
  local other = cjson.decode(nodes[i + 1])
  if other.nodeId == ARGV[2] and redis.call('EXISTS', P .. 'n:' .. nodes[i]) == 1 then return { 'node' } end
  if tostring(other.format) ~= ARGV[4] then return { 'format', other.nodeId, tostring(other.format) } end
end
-- what a store has kept here belongs to a node that is to be buried
if redis.call('EXISTS', P .. 'lock') == 1 then return { 'store', redis.call('GET', P .. 'lock') } end
if redis.call('EXISTS', P .. 'own:1') == 1 then
  redis.call('HSET', KEYS[1], '1', cjson.encode({ nodeId = 'store', description = '', format = tonumber(ARGV[4]) }))
end
redis.call('DEL', P .. 'n:1')
redis.call('SETNX', P .. 'e', 1)
local epoch = string.format('%.0f', redis.call('INCR', P .. 'e'))
redis.call('HSET', KEYS[1], epoch, ARGV[3])
local key = P .. 'n:' .. epoch
redis.call('HSET', key, 'token', epoch, 'last', 0, 'lease', ARGV[5])
redis.call('PEXPIRE', key, ARGV[5])
return { 'joined', epoch, redis.call('TIME') }
`

/** KEYS[1] the hash of the node. ARGV: prefix, its epoch. */
export const renewScript = `
local P = ARGV[1]
local lease = redis.call('HGET', KEYS[1], 'lease')
if lease then redis.call('PEXPIRE', KEYS[1], lease) end
local nodes = redis.call('HGETALL', P .. 'nodes')
local rows = {}
for i = 1, #nodes, 2 do
  local alive = redis.call('EXISTS', P .. 'n:' .. nodes[i])
  rows[#rows + 1] = { nodes[i], nodes[i + 1], alive, redis.call('HGET', P .. 'reap', nodes[i]) or '' }
end
return { lease and 1 or 0, redis.call('TIME'), rows }
`

/**
 * A store takes the namespace for itself. KEYS[1] the lock. ARGV: prefix, what the lock says of its owner, its milliseconds. What
 * another process still sends is refused from then on, because its token is another.
 */
export const openScript = `
local P = ARGV[1]
${checkTypes}
if redis.call('HLEN', P .. 'nodes') > 0 then return { 'cluster' } end
if not redis.call('SET', KEYS[1], ARGV[2], 'NX', 'PX', ARGV[3]) then
  return { 'locked', redis.call('GET', KEYS[1]), redis.call('PTTL', KEYS[1]) }
end
redis.call('SETNX', P .. 'e', 1)
local token = string.format('%.0f', redis.call('INCR', P .. 'e'))
redis.call('HSET', P .. 'n:1', 'token', token, 'last', 0)
return { 'opened', token }
`

/** KEYS[1] the lock. ARGV: prefix, token, milliseconds, what it says; 0 gives it up. Answers 0 if another one has it. */
export const lockScript = `
local P = ARGV[1]
if redis.call('HGET', P .. 'n:1', 'token') ~= ARGV[2] then return 0 end
if ARGV[3] == '0' then
  redis.call('DEL', KEYS[1], P .. 'n:1')
  return 1
end
redis.call('SET', KEYS[1], ARGV[4], 'PX', ARGV[3])
return 1
`
