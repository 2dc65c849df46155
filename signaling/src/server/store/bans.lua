-- Writes changes of bans, the latest one of each client. `store/bans.rs` says what the keys are.
-- KEYS: bans, bans:made, bans:lifted, bans:id, bans:version.
-- ARGV: an id for a new list; how long lifted bans are kept, in ms; then for each change the client,
-- until when it is banned (empty: lifted), and when that was decided. Returns the id of the list and
-- how often it has been changed.
local bans, made, lifted = KEYS[1], KEYS[2], KEYS[3]
redis.call('SET', KEYS[4], ARGV[1], 'NX')

for i = 3, #ARGV, 3 do
    local peer, till, at = ARGV[i], ARGV[i + 1], ARGV[i + 2]
    local before = redis.call('HGET', made, peer) or redis.call('ZSCORE', lifted, peer) or -1
    if tonumber(at) > tonumber(before) then
        if till == '' then
            redis.call('ZREM', bans, peer)
            redis.call('HDEL', made, peer)
            redis.call('ZADD', lifted, at, peer)
        else
            redis.call('ZADD', bans, till, peer)
            redis.call('HSET', made, peer, at)
            redis.call('ZREM', lifted, peer)
        end
    end
end

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000
local ended = redis.call('ZRANGEBYSCORE', bans, '-inf', now, 'LIMIT', 0, 1000)
for _, peer in ipairs(ended) do
    -- As if it had been lifted: an older, longer ban must not come back.
    redis.call('ZADD', lifted, redis.call('HGET', made, peer) or now, peer)
    redis.call('ZREM', bans, peer)
    redis.call('HDEL', made, peer)
end

redis.call('ZREMRANGEBYSCORE', lifted, '-inf', now - tonumber(ARGV[2]))
return { redis.call('GET', KEYS[4]), redis.call('INCR', KEYS[5]) }
