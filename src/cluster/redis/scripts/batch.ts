import { burialScripts } from './burial'
import { prelude } from './prelude'
import { sessionScripts } from './sessions'
import { transactScripts } from './transact'

/**
 * The calls of a node that change something, one batch after the other. The hash of the node has the number of its last batch and
 * the answers to it: a batch that comes again, because its answer was lost, is answered for and not done again. Answers are
 * kept short, and what is long in them is read anew.
 *
 * KEYS[1] the hash of the node. ARGV: prefix, epoch, token, number of the batch, '1' if it only takes away, calls.
 */
export const batchScript = `${prelude}${sessionScripts}${transactScripts}${burialScripts}
local changeRoutes = {}

function changeRoutes.exec(args)
  local binding, count, fields = args() == '1', tonumber(args()), {}
  for _ = 1, count do
    local key, kind, value = args(), args(), args()
    changeRoute(E, key, kind, value, fields)
  end
  return logRoutes(fields, binding) .. ' ' .. inboxEnd()
end

local leave = {}

function leave.exec()
  call('DEL', KEYS[1])
  return '1'
end

local calls = {
  claim = claim, take = take, pass = pass, transact = transact, bury = bury, inherit = inherit, endBurial = endBurial,
  changeRoutes = changeRoutes, leave = leave, sweep = sweep,
}

-- the arguments of each call follow its name and their number
local function each(run)
  local results = {}
  local at = 6
  while at <= #ARGV do
    local name, count = ARGV[at], tonumber(ARGV[at + 1])
    local next = at + 1
    at = next + count + 1
    results[#results + 1] = run(calls[name], function()
      next = next + 1
      return ARGV[next]
    end, #results + 1)
  end
  return results
end

local node = call('HMGET', KEYS[1], 'token', 'last', 'answers')
if node[1] ~= ARGV[3] then return { 'lapsed' } end

local done
if node[2] == ARGV[4] then
  -- the same again, so that replicas can be waited for on a new connection
  redis.pcall('HSET', KEYS[1], 'last', ARGV[4])
  done = cmsgpack.unpack(node[3])
else
  -- the first write: without memory, or where nothing can be written, it fails before anything was done
  local written = redis.pcall('HSET', KEYS[1], 'last', ARGV[4])
  if type(written) == 'table' and ARGV[5] ~= '1' then return written end
  done = each(function(which, args)
    local isDone, result = pcall(which.exec, args)
    if isDone then return result end
    return { type(result) == 'table' and result.err or tostring(result) }
  end)
  -- a node that has left has no hash any more
  if type(written) ~= 'table' and call('EXISTS', KEYS[1]) == 1 then
    call('HSET', KEYS[1], 'answers', cmsgpack.pack(done))
  end
end

return { 'done', each(function(which, args, n)
  local small = done[n]
  if type(small) == 'table' then return { 'error', small[1] } end
  if which.answer then return { 'ok', which.answer(args, small) } end
  return { 'ok', small }
end) }
`
