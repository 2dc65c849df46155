-- The second part of the script: the rooms that users have claimed, those in which they listen, and
-- who rings at whom.

-- Ends a search that cannot succeed, and notifies its node.
local function fail(u, code)
  local search = u.search
  dequeue(u)
  send(u.node, '{"search_ended":{"user":' .. cjson.encode(u.user) .. ',"search":' .. search .. ',"code":'
    .. cjson.encode(code) .. '}}')
end

-- Frees a claimed room. Its owner no longer listens in it. Guests who waited for the owner must not
-- meet each other instead, so their searches end at once: a `join` may follow in the same step.
local function unclaim(number)
  local owner = redis.call('HGET', P .. 'claim_owners', number)
  redis.call('ZREM', P .. 'claims', number)
  redis.call('ZREM', P .. 'claim_ends', number)
  redis.call('HDEL', P .. 'claim_owners', number)
  redis.call('HDEL', P .. 'claim_hashes', number)
  if owner then redis.call('LREM', P .. 'claims_of:' .. owner, 0, number) end
  for _, user in ipairs(redis.call('ZRANGE', P .. 'room:' .. number, 0, -1)) do
    local guest = get(user)
    if guest and guest.must then fail(guest, 'no_such_room') end
  end
  mark(number)
  for _, user in ipairs(redis.call('ZRANGE', P .. 'listen:' .. number, 0, -1)) do unlisten(user, number) end
end

-- A claim ends at `at`, or when it would have ended before.
local function end_at(number, at)
  local ends = redis.call('ZSCORE', P .. 'claim_ends', number)
  if not ends or tonumber(ends) > at then redis.call('ZADD', P .. 'claim_ends', at, number) end
end

-- The call of `user` is over. A room that it has claimed stays its own for a while, so that the two
-- can try again.
local function call_over(user)
  local room = redis.call('HGET', ukey(user), 'room')
  if room and redis.call('HGET', P .. 'claim_owners', room) == user then end_at(room, NOW + AFTER_CALL) end
end

-- A user has left: its rooms are held for a while, unless they become free before.
local function end_claims(user)
  local key = P .. 'claims_of:' .. user
  for _, number in ipairs(redis.call('LRANGE', key, 0, -1)) do end_at(number, NOW + CLAIM_HOLD) end
  redis.call('DEL', key)
end

local function claimed(number)
  local ends = redis.call('ZSCORE', P .. 'claim_ends', number)
  if ends and tonumber(ends) <= NOW then unclaim(number) end
  return redis.call('ZSCORE', P .. 'claims', number) and true or false
end

-- `user` searches or listens in a room. One that it has claimed does not end any more because of its
-- last call there.
local function hold(user, room)
  if redis.call('HGET', P .. 'claim_owners', room) == user then redis.call('ZREM', P .. 'claim_ends', room) end
end

-- Makes a claimed room the newest of `user`, who owns no more than it may. `hash` is that of the token.
local function own(user, number, hash)
  local key = P .. 'claims_of:' .. user
  redis.call('ZADD', P .. 'claims', tonumber(number), number)
  redis.call('HSET', P .. 'claim_owners', number, user)
  redis.call('HSET', P .. 'claim_hashes', number, hash)
  redis.call('ZREM', P .. 'claim_ends', number)
  redis.call('LREM', key, 0, number)
  redis.call('RPUSH', key, number)
  if redis.call('LLEN', key) > CLAIMS_PER_USER then unclaim(redis.call('LINDEX', key, 0)) end
end

-- Gives `user` the claimed room for whose token it has the hash. Returns whether it has.
local function take_claim(user, number, hash)
  if not claimed(number) or redis.call('HGET', P .. 'claim_hashes', number) ~= hash then return false end
  local former = redis.call('HGET', P .. 'claim_owners', number)
  if former ~= user then
    redis.call('LREM', P .. 'claims_of:' .. former, 0, number)
    for _, other in ipairs(redis.call('ZRANGE', P .. 'listen:' .. number, 0, -1)) do unlisten(other, number) end
  end
  own(user, number, hash)
  mark(number)
  return true
end

-- Writes a claim again that a node knows of, unless another user has claimed the room since.
local function claim_again(user, claim)
  local number = claim.room
  if claimed(number) and redis.call('HGET', P .. 'claim_owners', number) ~= user then return end
  own(user, number, claim.hash)
  if claim.ends_ms then end_at(number, NOW + claim.ends_ms) end
end

-- The claims of a user as its node knows them.
local function claims_of(user)
  local claims = {}
  for _, number in ipairs(redis.call('LRANGE', P .. 'claims_of:' .. user, 0, -1)) do
    local ends = redis.call('ZSCORE', P .. 'claim_ends', number)
    claims[#claims + 1] = '{"room":' .. cjson.encode(number) .. ',"hash":'
      .. cjson.encode(redis.call('HGET', P .. 'claim_hashes', number) or '')
      .. (ends and ',"ends_ms":' .. string.format('%d', math.max(0, ends - NOW)) or '') .. '}'
  end
  return '[' .. table.concat(claims, ',') .. ']'
end

-- Whether so many guests wait in a claimed room that `user` may not: MAX_GUESTS of `hub/rooms.rs`. One
-- who will meet the owner at once need not wait.
local function is_full(room, user, person)
  local owner = redis.call('HGET', P .. 'claim_owners', room)
  if owner == user or redis.call('ZCARD', P .. 'room:' .. room) < MAX_GUESTS then return false end
  local o = owner and get(owner)
  return not (o and room_of(o) == room and alive(o.node) and not blocked({ person = person }, o))
end

-- Whether a room is a number that can be claimed: `room_number` of `message/limits.rs`.
local function is_number(room) return #room <= MAX_DIGITS and string.find(room, '^[1-9]%d*$') ~= nil end

-- Replaces the rooms in which `u` listens by those of `rooms` in which it may. Returns them.
local function set_rooms(u, rooms)
  local wanted, accepted = {}, {}
  for _, room in ipairs(rooms) do
    if not is_number(room) or (claimed(room) and redis.call('HGET', P .. 'claim_owners', room) == u.user) then
      wanted[room] = true
      accepted[#accepted + 1] = room
    end
  end
  for _, room in ipairs(redis.call('SMEMBERS', P .. 'listens:' .. u.user)) do
    if not wanted[room] then unlisten(u.user, room) end
  end
  for _, room in ipairs(accepted) do
    redis.call('SADD', P .. 'listens:' .. u.user, room)
    redis.call('ZADD', P .. 'listen:' .. room, 'NX', redis.call('INCR', P .. 'rank'), u.user)
    hold(u.user, room)
    mark(room)
  end
  return accepted
end

-- What a listener sees of the caller `c`, as in the protocol.
local function knock(c)
  local profile = cjson.decode(redis.call('HGET', ukey(c.user), 'profile'))
  return '{"knockId":' .. cjson.encode(c.ring) .. ',"room":' .. cjson.encode(room_of(c)) .. ',"userName":'
    .. cjson.encode(profile.userName or 'Anonymous') .. ',"userPicture":'
    .. cjson.encode(profile.userPicture or cjson.null) .. '}'
end

-- Notifies the node of `l` that `c` rings.
local function show_knock(l, c)
  redis.call('HSET', ukey(l.user), 'shown', c.ring)
  send(l.node, '{"knock":{"user":' .. cjson.encode(l.user) .. ',"knock":' .. knock(c) .. '}}')
end

-- Rings, if `c` waits in a room with a listener who has no knock: the first who may be rung now. If
-- there is none, its node asks again when the first may be.
local function ring(c)
  local room = room_of(c)
  if not room or c.ring ~= '' or not alive(c.node) then return end
  local soonest
  for _, user in ipairs(redis.call('ZRANGE', P .. 'listen:' .. room, 0, -1)) do
    local l = get(user)
    if not l then
      -- Its record has expired.
      redis.call('ZREM', P .. 'listen:' .. room, user)
    elseif not visitor(l) and not blocked(c, l) and alive(l.node) then
      local wait = math.max(c.knocked, l.rung) + KNOCK_INTERVAL - NOW
      if wait <= 0 then
        c.ring = redis.sha1hex(c.user .. ':' .. NOW .. ':' .. redis.call('INCR', P .. 'rank'))
        redis.call('HSET', ukey(c.user), 'ring', c.ring, 'ring_to', user, 'knocked', NOW)
        redis.call('HSET', ukey(user), 'rung_by', c.user, 'rung', NOW)
        show_knock(l, c)
        return
      end
      soonest = math.min(soonest or wait, wait)
    end
  end
  if soonest then
    send(c.node, '{"knock_later":{"user":' .. cjson.encode(c.user) .. ',"search":' .. c.search .. ',"ms":'
      .. string.format('%d', math.min(soonest, KNOCK_INTERVAL)) .. '}}')
  end
end

-- Ends the search in `room` that was only for a room that exists, if it does no longer.
local function end_lost_search(room)
  if claimed(room) or redis.call('ZCARD', P .. 'listen:' .. room) > 0 then return end
  local users = redis.call('ZRANGE', P .. 'room:' .. room, 0, 1)
  local last = #users == 1 and get(users[1])
  if last and last.must then fail(last, 'no_such_room') end
end

-- Rings where someone may ring in the rooms that have changed, ends the searches whose room no
-- longer exists, and notifies the nodes of callers. The longest wait comes first.
local function settle()
  while next(changed) do
    local rooms, waiting = changed, {}
    changed = {}
    for room in pairs(rooms) do
      local entries = redis.call('ZRANGE', P .. 'room:' .. room, 0, -1, 'WITHSCORES')
      for i = 1, #entries, 2 do waiting[#waiting + 1] = { entries[i], tonumber(entries[i + 1]) } end
    end
    table.sort(waiting, function(a, b) return a[2] < b[2] end)
    for _, entry in ipairs(waiting) do
      local c = get(entry[1])
      if c then ring(c) end
    end
    for room in pairs(rooms) do end_lost_search(room) end
    for _, entry in ipairs(waiting) do
      local c = get(entry[1])
      if c and c.q ~= '' and c.told ~= c.ring then
        redis.call('HSET', ukey(c.user), 'told', c.ring)
        send(c.node, '{"ringing":{"user":' .. cjson.encode(c.user) .. ',"search":' .. c.search .. ',"knock":'
          .. (c.ring == '' and 'null' or cjson.encode(c.ring)) .. '}}')
      end
    end
  end
end

-- The first number from `low` to `high` that is not claimed, or nil. Halves the range: a range is
-- full when as many numbers are claimed as it has.
local function free_in(low, high)
  if low > high or redis.call('ZCOUNT', P .. 'claims', low, high) > high - low then return nil end
  while low < high do
    local middle = math.floor((low + high) / 2)
    if redis.call('ZCOUNT', P .. 'claims', low, middle) <= middle - low then high = middle else low = middle + 1 end
  end
  return low
end

