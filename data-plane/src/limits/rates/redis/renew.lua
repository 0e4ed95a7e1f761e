-- Says that members of one concurrency set are still under way.
-- KEYS[1]: the set. ARGV: milliseconds until they expire, members.
local clock = redis.call('TIME')
local score = string.format('%.0f', clock[1] * 1000000 + clock[2] + tonumber(ARGV[1]) * 1000)
for i = 2, #ARGV do
  redis.call('ZADD', KEYS[1], 'XX', score, ARGV[i])
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 0
