/** Calls by which a node buries another one. */
export const burialScripts = `
local function buries(node) return call('HGET', P .. 'reap', node) == E end

local bury = {}

function bury.exec(args)
  local node = args()
  if call('HEXISTS', P .. 'nodes', node) == 0 or alive(node) then return '0' end
  local other = call('HGET', P .. 'reap', node)
  if other and other ~= E and alive(other) then return '0' end
  call('HSET', P .. 'reap', node, E)
  return '1'
end

local inherit = {}

-- where a node that was burying another one has died itself
local function deadPlace(p)
  for _, node in ipairs({ p.holder, p.pass, p.home }) do
    if node ~= '0' and not alive(node) then return node end
  end
end

local function replace(p, node, epoch)
  if p.home == node then p.home, p.he = E, epoch end
  if p.holder == node then p.holder, p.oe = E, epoch end
  if p.pass == node then p.pass, p.pe = E, epoch end
end

function inherit.exec(args)
  local client, from = args(), args()
  if not buries(from) or call('SISMEMBER', P .. 'own:' .. from, client) == 0 then return '' end
  local packed = call('HGET', P .. 's:' .. client, 'R')
  if not packed then
    call('SREM', P .. 'own:' .. from, client)
    return ''
  end
  local p = places(packed)
  local dead = has(p, from) and from or deadPlace(p)
  local epoch
  if dead then
    epoch = nextEpoch()
    replace(p, dead, epoch)
    setPlaces(client, p)
    call('SADD', P .. 'own:' .. E, client)
  elseif p.holder == E then epoch = p.oe
  elseif p.pass == E then epoch = p.pe
  elseif p.home == E then epoch = p.he
  else
    call('SREM', P .. 'own:' .. from, client)
    return ''
  end
  if p.holder ~= E or p.oe ~= epoch then tell(p.holder, 'k', client) end
  return epoch
end

inherit.answer = take.answer

local endBurial = {}

function endBurial.exec(args)
  local node = args()
  if not buries(node) or call('SCARD', P .. 'own:' .. node) > 0 then return '0' end
  call('DEL', P .. 'in:' .. node, P .. 'r:' .. node, P .. 'own:' .. node)
  call('HDEL', P .. 'nodes', node)
  call('HDEL', P .. 'reap', node)
  logRoutes({ 'b' .. node, '' }, false)
  return '1'
end
`
