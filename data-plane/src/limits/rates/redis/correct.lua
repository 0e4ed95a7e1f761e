-- Moves one bucket by a number of units, either way: what was used differs from what was taken.
-- KEYS[1]: the bucket. ARGV: ceiling per minute, units (negative: give back).
local period = 60000000
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local full_at = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
local tat = full_at + tonumber(ARGV[2]) * period / tonumber(ARGV[1])
if tat <= now then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], string.format('%.0f', tat), 'PX', math.ceil((tat - now) / 1000) + 1)
end
return 0
