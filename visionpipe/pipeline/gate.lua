-- One call of one holder: what it gives back, and what it asks for. ARGV[1] is a JSON object (redis_gate.py
-- says what is in it), and so is the answer. KEYS[1] begins with a hash tag, and all other keys with it.
-- Times are milliseconds of the server; amounts are {requests, tokens, billionths of the currency}.

local call = cjson.decode(ARGV[1])
local key, me = KEYS[1], call.holder
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local FIELDS = {
  'born', 'ceiling', 'level', 'epoch', 'good', 'top', 'step', 'next_step', 'answers', 'in_full_use',
  'decreased_in', 'refused_in_a_row', 'since_refusal', 'busy', 'refusals', 'paused_until',
  'requests_free', 'tokens_free',
  'came', 'now', 'worked', 'began', 'began_worked', 'base', 'base_mean', 'settled', 'trying', 'patience', 'in_vain',
  'sum', 'summed_at',
}
local SPENT = {'r', 't', 'm', 'reserved_r', 'reserved_t', 'reserved_m', 'under_way', 'largest_t', 'largest_m'}
local holders, held, waiting = key .. ':holders', key .. ':held', key .. ':waiting'
local function leases_of(holder) return key .. ':leases:' .. holder end
local function hints_of(holder) return key .. ':hints:' .. holder end
local function purse_of(job) return key .. ':spent:' .. job end

local function read(from, fields)
  local found, values = redis.call('HMGET', from, unpack(fields)), {}
  for i, field in ipairs(fields) do values[field] = tonumber(found[i]) or 0 end
  return values, found[1] ~= false
end
local function write(to, fields, values)
  local flat = {}
  for _, field in ipairs(fields) do
    flat[#flat + 1] = field
    flat[#flat + 1] = string.format('%.17g', values[field])
  end
  redis.call('HSET', to, unpack(flat))
end

local law, known = read(key, FIELDS)
if not known then
  law = law_new(call.ceiling, call.start)
  law.born, law.busy, law.refusals, law.paused_until, law.requests_free, law.tokens_free = now, 0, 0, 0, 0, 0
  law.sum, law.summed_at, law.now, law.began = 0, now, now, now
end
-- How long requests have been under way until now, all together.
law.sum = law.sum + law.busy * (now - law.summed_at)
law.summed_at = now
law.ceiling = call.ceiling
if law.level > law.ceiling then law_move_to(law, law.ceiling) end
if law.born ~= call.born and call.join == nil and not call.leave then
  -- New here, or the server lost what it knew: the holder first tells what it has.
  return cjson.encode({born = law.born, strange = true})
end

local purses = {}
local function purse(job)
  if purses[job] == nil then purses[job] = read(purse_of(job), SPENT) end
  return purses[job]
end

-- What a lease reserved goes back, and what it used is spent. used nil: nothing was billed; a figure below 0:
-- the estimate holds.
local function settle(lease, used)
  local own = purse(lease.job)
  for _, part in ipairs({'r', 't', 'm'}) do
    own['reserved_' .. part] = math.max(0, own['reserved_' .. part] - lease[part])
    if used ~= nil then
      local amount = used[part]
      if amount < 0 then amount = lease[part] end
      own[part] = own[part] + amount
      if part ~= 'r' then own['largest_' .. part] = math.max(own['largest_' .. part], amount) end
    end
  end
  own.under_way = math.max(0, own.under_way - 1)
end

local function drop(holder, number, text)
  redis.call('HDEL', leases_of(holder), number)
  if redis.call('HINCRBY', held, holder, -1) <= 0 then redis.call('HDEL', held, holder) end
  law.busy = math.max(0, law.busy - 1)
  return cjson.decode(text)
end

local function forget(holder)
  local rows = redis.call('HGETALL', leases_of(holder))
  for i = 1, #rows, 2 do
    local lease = drop(holder, rows[i], rows[i + 1])
    settle(lease, {r = lease.r, t = lease.t, m = lease.m})
    if lease.second then settle(lease.second, nil) end
  end
  redis.call('DEL', leases_of(holder), hints_of(holder))
  redis.call('HDEL', waiting, holder)
  redis.call('ZREM', holders, holder)
end

for _, silent in ipairs(redis.call('ZRANGEBYSCORE', holders, '-inf', now - call.ttl)) do
  -- It may have been billed for what it had under way.
  forget(silent)
end

if call.join ~= nil then
  -- What the ledger, or a holder that saw more, knows to be spent is spent.
  local own = purse(call.job)
  for i, part in ipairs({'r', 't', 'm'}) do own[part] = math.max(own[part], call.join.spent[i]) end
  for _, row in ipairs(call.join.leases) do
    local lease = cjson.decode(row[2])
    lease.epoch = -1
    if redis.call('HSETNX', leases_of(me), row[1], cjson.encode(lease)) == 1 then
      redis.call('HINCRBY', held, me, 1)
      law.busy = law.busy + 1
      for _, each in ipairs({lease, lease.second}) do
        for _, part in ipairs({'r', 't', 'm'}) do
          own['reserved_' .. part] = own['reserved_' .. part] + each[part]
        end
        own.under_way = own.under_way + 1
      end
    end
  end
end

local before, paused = law.level, law.paused_until
for _, row in ipairs(call.done or {}) do
  local text = redis.call('HGET', leases_of(me), row.number)
  if text then
    local busy = law.busy
    local lease = drop(me, row.number, text)
    if row.outcome == 'ok' then
      law_answer(law, lease.epoch, busy, now, law.sum)
    elseif row.outcome == 'refused' then
      law.refusals = law.refusals + 1
      local pause = math.max(law_refusal(law, lease.epoch), row.retry_ms)
      if pause > 0 then law.paused_until = math.max(law.paused_until, now + pause) end
    end
    if row.used and row.used.t >= 0 and call.tpm > 0 then
      law.tokens_free = law.tokens_free + (row.used.t - lease.t) * 60000 / call.tpm
    end
    settle(lease, row.used)
    if lease.second then settle(lease.second, nil) end
  end
end

-- A first answer is settled, and the second question is under way with the same permit.
local repeated = {}
for _, row in ipairs(call.again or {}) do
  local text = redis.call('HGET', leases_of(me), row.number)
  local lease = text and cjson.decode(text)
  if lease and not lease.repeated then
    settle(lease, row.used)
    local second = lease.second
    if second == nil then
      second = {job = lease.job, r = 0, t = 0, m = 0, denied = true}
      purse(lease.job).under_way = purse(lease.job).under_way + 1
    end
    second.epoch, second.repeated = lease.epoch, true
    redis.call('HSET', leases_of(me), row.number, cjson.encode(second))
    lease = second
  end
  if lease and not lease.denied then repeated[#repeated + 1] = row.number end
end

if call.holds ~= nil then
  -- A lease whose answer was lost on the way was never used.
  local mine = {}
  for _, number in ipairs(call.holds) do mine[tostring(number)] = true end
  local rows = redis.call('HGETALL', leases_of(me))
  for i = 1, #rows, 2 do
    if not mine[rows[i]] then
      local lease = drop(me, rows[i], rows[i + 1])
      settle(lease, nil)
      if lease.second then settle(lease.second, nil) end
    end
  end
end

local function assumed(own, want)
  local tokens = want.t
  if tokens < 0 then
    tokens = 0
    if call.caps.t >= 0 then
      -- Before anything is known the whole rest is reserved, so that one request goes alone and tells.
      tokens = own.largest_t
      if tokens == 0 then tokens = math.max(1, call.caps.t - own.t - own.reserved_t) end
    end
  end
  return {job = call.job, r = 1, t = tokens, m = want.m}
end

local function fits(own, lease, second)
  for _, part in ipairs({'r', 't', 'm'}) do
    local total = own[part] + own['reserved_' .. part] + lease[part] + (second and second[part] or 0)
    if call.caps[part] >= 0 and total > call.caps[part] then return false end
  end
  return true
end

local function reserve(own, lease)
  for _, part in ipairs({'r', 't', 'm'}) do
    own['reserved_' .. part] = own['reserved_' .. part] + lease[part]
  end
  own.under_way = own.under_way + 1
end

-- What a request may use, and what its second question may; nil and whether the cap is reached for good.
local function room_for(want)
  local own = purse(call.job)
  local lease = assumed(own, want)
  local second = want.spare and {job = call.job, r = 1, t = 2 * lease.t, m = 2 * lease.m} or nil
  if not fits(own, lease, second) then
    if own.under_way > 0 then return nil, false end
    if second == nil or not fits(own, lease, nil) then return nil, true end
    second = nil
  end
  reserve(own, lease)
  if second then reserve(own, second) end
  lease.second = second
  return lease, false
end

local granted, reached, wait, left = {}, {}, 0, {}
if call.leave then
  -- What it still holds may have been billed.
  forget(me)
else
  redis.call('ZADD', holders, now, me)
  local own_leases = tonumber(redis.call('HGET', held, me) or '0')
  local most = law.level
  local others = redis.call('HLEN', waiting) - redis.call('HEXISTS', waiting, me)
  if others > 0 then
    local active = {[me] = true}
    for _, list in ipairs({redis.call('HKEYS', held), redis.call('HKEYS', waiting)}) do
      for _, holder in ipairs(list) do active[holder] = true end
    end
    local count = 0
    for _ in pairs(active) do count = count + 1 end
    most = math.ceil(law.level / count)
  end
  for i, want in ipairs(call.want or {}) do
    if law.busy >= law.level or own_leases >= most then
      left[#left + 1] = want.number
    else
      wait = math.max(law.paused_until, call.rpm > 0 and law.requests_free or 0,
        call.tpm > 0 and law.tokens_free or 0) - now
      if wait > 0 then
        left[#left + 1] = want.number
      else
        local lease, out = room_for(want)
        if lease == nil then
          if out then reached[#reached + 1] = want.number else left[#left + 1] = want.number end
        else
          lease.epoch = law.epoch
          if call.rpm > 0 then law.requests_free = math.max(now, law.requests_free) + 60000 / call.rpm end
          if call.tpm > 0 then
            law.tokens_free = math.max(now, law.tokens_free) + lease.t * 60000 / call.tpm
          end
          local text = cjson.encode(lease)
          redis.call('HSET', leases_of(me), want.number, text)
          redis.call('HINCRBY', held, me, 1)
          law.busy, own_leases = law.busy + 1, own_leases + 1
          granted[#granted + 1] = {want.number, text}
        end
      end
    end
  end
  local more = #left + (call.more or 0)
  if more > 0 then redis.call('HSET', waiting, me, more) else redis.call('HDEL', waiting, me) end
end

-- A free place is announced, never granted, to those who wait with the fewest leases; a pause to all.
local free = law.level - law.busy
local told = law.paused_until > paused
if free > 0 or told then
  local list = {}
  for _, holder in ipairs(redis.call('HKEYS', waiting)) do
    if holder ~= me then
      list[#list + 1] = {holder, tonumber(redis.call('HGET', held, holder) or '0')}
    end
  end
  table.sort(list, function(a, b) return a[2] < b[2] or (a[2] == b[2] and a[1] < b[1]) end)
  for i, row in ipairs(list) do
    if i > free and not told then break end
    if redis.call('LLEN', hints_of(row[1])) == 0 then
      redis.call('RPUSH', hints_of(row[1]), '1')
      redis.call('PEXPIRE', hints_of(row[1]), call.ttl)
    end
  end
end
write(key, FIELDS, law)
for job, own in pairs(purses) do write(purse_of(job), SPENT, own) end
if call.holds ~= nil or call.join ~= nil then
  for _, name in ipairs({key, holders, held, waiting, leases_of(me)}) do
    redis.call('PEXPIRE', name, call.keep)
  end
  for job in pairs(purses) do redis.call('PEXPIRE', purse_of(job), call.keep) end
end

local own = purse(call.job)
return cjson.encode({
  born = law.born, level = law.level, before = before, busy = law.busy, refusals = law.refusals,
  holders = redis.call('ZCARD', holders), pause_ms = math.max(0, law.paused_until - now),
  wait_ms = math.max(0, wait), granted = granted, reached = reached, repeated = repeated,
  spent = {own.r, own.t, own.m},
  reserved = {own.reserved_r, own.reserved_t, own.reserved_m}, largest = {1, own.largest_t, own.largest_m},
})
