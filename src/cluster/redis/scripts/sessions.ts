/** Calls that move a session from one node to another. See `src/ports/cluster.ts`. */
export const sessionScripts = `
local claim = {}

function claim.exec(args)
  local client = args()
  local former = call('HGET', P .. 's:' .. client, 'R')
  local epoch = nextEpoch()
  local p
  if former then
    p = places(former)
    local home = p.home
    p.home, p.he = E, epoch
    if p.holder == E and p.pass == '0' then p.oe = epoch end
    if home ~= E then refresh(client, home, p) end
  else
    p = { home = E, he = epoch, holder = E, oe = epoch, pass = '0', pe = '0' }
  end
  setPlaces(client, p)
  call('SADD', P .. 'own:' .. E, client)
  if p.oe ~= epoch then tell(p.holder, 'k', client) end
  return epoch
end

function claim.answer(args, epoch) return view(args(), epoch) end

local take = {}

function take.exec(args)
  local client, epoch = args(), args()
  local packed = call('HGET', P .. 's:' .. client, 'R')
  if not packed then return '' end
  local p = places(packed)
  if p.he ~= epoch and p.oe ~= epoch and p.pe ~= epoch then return '' end
  if p.holder ~= E or p.oe ~= epoch then tell(p.holder, 'k', client) end
  return epoch
end

function take.answer(args, epoch)
  local client = args()
  if epoch == '' then return {} end
  return view(client, epoch)
end

local pass = {}

function pass.exec(args)
  local fields, targets = {}, {}
  for _ = 1, tonumber(args()) do
    local client, epoch, count = args(), args(), tonumber(args())
    local packed = call('HGET', P .. 's:' .. client, 'R')
    local p = packed and places(packed)
    local mine = p and p.holder == E and p.oe == epoch
    if mine and p.pass == '0' and p.he ~= epoch then
      p.pass, p.pe = p.home, p.he
      setPlaces(client, p)
    end
    local target = mine and p.pass ~= '0' and p.pass
    for _ = 1, count do
      local key, kind, value = args(), args(), args()
      if target then changeRoute(target, key, kind, value, fields) end
    end
    targets[#targets + 1] = target or '0'
  end
  local number = '0'
  for _, target in ipairs(targets) do
    if target ~= '0' then
      number = logRoutes(fields, true)
      break
    end
  end
  return number .. ' ' .. inboxEnd() .. ' ' .. table.concat(targets, ' ')
end

-- the holder lets a session go: p is where it stands, stored whether it has a head
local function release(client, p, stored)
  if p.holder ~= E then return end
  local epoch = p.oe
  if p.pass ~= '0' then
    p.holder, p.oe, p.pass, p.pe = p.pass, p.pe, '0', '0'
  else
    p.holder, p.oe = p.home, p.he
  end
  if p.oe == epoch then
    if stored then return end
    call('DEL', P .. 's:' .. client)
    call('SREM', P .. 'own:' .. E, client)
    return
  end
  setPlaces(client, p)
  refresh(client, E, p)
  tell(p.holder, 'r', client)
  if p.he ~= p.oe then tell(p.holder, 'k', client) end
end
`
