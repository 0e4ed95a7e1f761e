-- Takes from every bucket and enters every concurrency set, or does nothing.
-- KEYS: buckets, then concurrency sets. All share one hash tag, so that they are in one slot of a cluster.
-- ARGV: number of buckets, number of sets; per bucket: ceiling per minute, least, wanted; per set: ceiling, member;
--       then milliseconds after which a member that nobody renews has left.
-- Answer: {1, per bucket: taken, microseconds until it is full...}, or {0, index of the limit, microseconds until it may
--         pass, microseconds until it is full}; both 0 for a set.
local period = 60000000
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local buckets, sets = tonumber(ARGV[1]), tonumber(ARGV[2])
local after = 3 + buckets * 3
local expiry = tonumber(ARGV[after + sets * 2])

for i = 1, sets do
  local key, ceiling = KEYS[buckets + i], tonumber(ARGV[after + (i - 1) * 2])
  redis.call('ZREMRANGEBYSCORE', key, '-inf', string.format('%.0f', now))
  if redis.call('ZCARD', key) >= ceiling then
    return {0, buckets + i, 0, 0}
  end
end

local full_at, room = {}, {}
for i = 1, buckets do
  local ceiling, least = tonumber(ARGV[i * 3]), tonumber(ARGV[i * 3 + 1])
  if ceiling == 0 then
    return {0, i, period, period}
  end
  full_at[i] = math.max(tonumber(redis.call('GET', KEYS[i]) or '0'), now)
  local used = full_at[i] - now
  room[i] = math.floor((period - used) * ceiling / period)
  if room[i] < least then
    return {0, i, math.ceil(used + least * period / ceiling - period), math.ceil(used)}
  end
end

local answer = {1}
for i = 1, buckets do
  local ceiling, wanted = tonumber(ARGV[i * 3]), tonumber(ARGV[i * 3 + 2])
  local taken = math.min(wanted, room[i])
  local tat = full_at[i] + math.ceil(taken * period / ceiling)
  -- `%.0f`: Lua's own format keeps 14 digits only.
  redis.call('SET', KEYS[i], string.format('%.0f', tat), 'PX', math.ceil((tat - now) / 1000) + 1)
  answer[i * 2] = taken
  answer[i * 2 + 1] = math.ceil(tat - now)
end
for i = 1, sets do
  local key = KEYS[buckets + i]
  redis.call('ZADD', key, string.format('%.0f', now + expiry * 1000), ARGV[after + (i - 1) * 2 + 1])
  redis.call('PEXPIRE', key, expiry)
end
return answer
