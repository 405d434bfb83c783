/**
 * A page of a queue: members, Packet Identifiers, whether received, and messages that lie elsewhere. KEYS[1] the queue. ARGV:
 * prefix, client, position that it begins behind, limit.
 */
export const queueScript = `
local P, client = ARGV[1], ARGV[2]
local members = redis.call('ZRANGEBYLEX', KEYS[1], '(' .. ARGV[3] .. '\\255', '+', 'LIMIT', 0, ARGV[4])
local rows = {}
for i, member in ipairs(members) do
  local high, low, flags = struct.unpack('>I4I4I1', member)
  local position = string.format('%.0f', high * 4294967296 + low)
  local sent = redis.call('HMGET', P .. 's:' .. client, 'i' .. position, 'c' .. position)
  local message = flags >= 64 and redis.call('GET', P .. 'm:' .. string.sub(member, 14, 21)) or ''
  rows[i] = { member, sent[1] or '', sent[2] or '', message }
end
return rows
`

/** KEYS[1] the session. */
export const heldScript = `
local held = {}
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  if string.sub(field, 1, 1) == 'h' then held[#held + 1] = string.sub(field, 2) end
end
return held
`

/** KEYS[1] the session, KEYS[2] its queue. */
export const viewScript = `
return { '0', redis.call('ZCARD', KEYS[2]), redis.call('HGETALL', KEYS[1]) }
`

/** Bytes of payload in a queue, where they are not counted. KEYS[1] the queue. */
export const bytesScript = `
local bytes = 0
for _, member in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do bytes = bytes + struct.unpack('>I4', member, 10) end
return bytes
`

/**
 * Frames of an inbox up to so many bytes, and one at least. KEYS[1] the inbox. ARGV: prefix, position that they come behind, bytes;
 * then the node that reads and the node that it buries, where it is not the own inbox.
 */
export const inboxScript = `
if ARGV[4] and redis.call('HGET', ARGV[1] .. 'reap', ARGV[5]) ~= ARGV[4] then return {} end
local after = ARGV[2] == '' and '-' or '(' .. ARGV[2]
local frames, bytes, count = {}, 0, 1
while true do
  local found = redis.call('XRANGE', KEYS[1], after, '+', 'COUNT', count)
  for _, frame in ipairs(found) do
    bytes = bytes + #frame[2][6]
    if bytes > tonumber(ARGV[3]) and #frames > 0 then return frames end
    frames[#frames + 1] = frame
    after = '(' .. frame[1]
  end
  if #found < count then return frames end
  -- more at a time, as long as they are small
  if bytes * 4 < tonumber(ARGV[3]) then count = math.min(count * 2, 64) else count = 1 end
end
`
