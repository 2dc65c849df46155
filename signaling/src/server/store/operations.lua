-- The last part of the script: what a node can ask for.

-- Ends the session of `u`, for both sides. Notifies the partner's node, unless it is `from`, which
-- knows already.
local function finish(u, session, reason, from)
  if session == '' or u.session ~= session then return end
  redis.call('HDEL', ukey(u.user), 'session', 'partner')
  redis.call('DEL', 'session:' .. session)
  redis.call('SREM', 'active_sessions', session)
  u.session = ''
  local p = get(u.partner)
  if not p then return end
  redis.call('HSET', ukey(u.user), 'last', p.person)
  remember(u, session, p)
  call_over(u.user)
  if p.session ~= session then return end
  redis.call('HDEL', ukey(p.user), 'session', 'partner')
  redis.call('HSET', ukey(p.user), 'last', u.person)
  remember(p, session, u)
  call_over(p.user)
  if p.node ~= from then
    send(p.node, '{"left":{"user":' .. cjson.encode(p.user) .. ',"session":' .. cjson.encode(session) .. ',"reason":'
      .. cjson.encode(reason) .. '}}')
  end
end

-- A user no longer listens, and its claimed rooms are held for a while.
local function forget_rooms(user)
  unlisten_all(user)
  end_claims(user)
end

-- Removes a user with everything that belongs to it.
local function forget(u, reason, from)
  dequeue(u)
  forget_rooms(u.user)
  finish(u, u.session, reason, from)
  redis.call('DEL', ukey(u.user), P .. 'token:' .. u.token, P .. 'ended:' .. u.user)
  redis.call('SREM', P .. 'users:' .. u.node, u.user)
  -- A person without a bearer token is this user, and never comes back. The blocks of others
  -- outlive their users.
  if u.person == u.user then
    local by, of = P .. 'blocked_by:' .. u.user, P .. 'blockers:' .. u.user
    for _, one in ipairs(redis.call('SMEMBERS', of)) do redis.call('ZREM', P .. 'blocked_by:' .. one, u.user) end
    for _, other in ipairs(redis.call('ZRANGE', by, 0, -1)) do redis.call('SREM', P .. 'blockers:' .. other, u.user) end
    redis.call('DEL', by, of)
  end
end

-- The blocks of a person are in use: they last on.
local function renew_blocks(user, person)
  if person ~= user then
    redis.call('EXPIRE', P .. 'blocked_by:' .. person, BLOCK_TTL)
  else
    redis.call('EXPIRE', P .. 'blocked_by:' .. user, RECORD_TTL)
    redis.call('EXPIRE', P .. 'blockers:' .. user, RECORD_TTL)
  end
end

-- The person `one` has blocked `other`. `ttl`: how long its blocks last from now on.
local function block(one, other, ttl)
  local key = P .. 'blocked_by:' .. one
  redis.call('ZADD', key, NOW, other)
  redis.call('ZREMRANGEBYRANK', key, 0, -MAX_BLOCKS - 1)
  redis.call('EXPIRE', key, ttl)
  if redis.call('EXISTS', ukey(other)) == 1 then
    -- A user without a bearer token: `forget` removes it from the blocks of others.
    redis.call('SADD', P .. 'blockers:' .. other, one)
    redis.call('EXPIRE', P .. 'blockers:' .. other, RECORD_TTL)
  end
end

-- Writes the record of a user, who belongs to the calling node from now on. ARGV from 5: user,
-- socket, person, token, profile, interests, last.
local function write(old)
  local user, token = ARGV[5], ARGV[8]
  if old and old.token ~= token then redis.call('DEL', P .. 'token:' .. old.token) end
  if old and old.node ~= caller then redis.call('SREM', P .. 'users:' .. old.node, user) end
  redis.call('HSET', ukey(user), 'node', caller, 'socket', ARGV[6], 'person', ARGV[7], 'token', token, 'profile',
    ARGV[9], 'interests', ARGV[10])
  if ARGV[11] ~= '' then redis.call('HSET', ukey(user), 'last', ARGV[11]) end
  redis.call('EXPIRE', ukey(user), RECORD_TTL)
  redis.call('SET', P .. 'token:' .. token, user, 'EX', RECORD_TTL)
  redis.call('SADD', P .. 'users:' .. caller, user)
  renew_blocks(user, ARGV[7])
end

local ops = {}

-- A search begins. ARGV: the record (see `write`), then room, session, startedAt, '1' if the room
-- must exist, the room's number if it can be claimed, else '', and the number of the search. Returns 1
-- if it was matched at once, 2 if there is no such room, 3 if too many guests wait there.
function ops.join()
  local room, session, started, must_exist, number = ARGV[12], ARGV[13], ARGV[14], ARGV[15] == '1', ARGV[16]
  local old = get(ARGV[5])
  if old and old.q ~= '' then
    if old.node == caller then
      -- It waits already: its node only asks to look again, after the store was away or the clock
      -- was set.
      if old.since > NOW then
        old.since = NOW
        redis.call('HSET', ukey(old.user), 'since', NOW)
      end
      if attempt(old, session, started) then return 1 end
      -- Its node may have missed that it rings.
      redis.call('HDEL', ukey(old.user), 'told')
      if room ~= '' then mark(room) end
      return 0
    end
    dequeue(old)
  end
  if room ~= '' then
    -- A claimed room is only for those who were invited: `must_have_room` of `hub/search.rs`.
    local exists
    if number ~= '' and claimed(number) then
      exists = must_exist
    else
      -- The user's own listening ends with this search.
      local others = redis.call('ZCARD', P .. 'listen:' .. room)
        - (redis.call('ZSCORE', P .. 'listen:' .. room, ARGV[5]) and 1 or 0)
      exists = not must_exist or redis.call('EXISTS', P .. 'room:' .. room) == 1 or others > 0
    end
    if not exists then return 2 end
    if number ~= '' and claimed(number) and is_full(room, ARGV[5], ARGV[7]) then return 3 end
    hold(ARGV[5], room)
  end
  write(old)
  unlisten_all(ARGV[5])
  redis.call('HSET', ukey(ARGV[5]), 'room', room)
  local me = get(ARGV[5])
  if me.session ~= '' then
    -- It was matched while its node could not hear of it.
    local p = get(me.partner)
    if p and p.session == me.session then
      matched(me, p, me.session, false, '[]')
      return 1
    end
    finish(me, me.session, 'disconnected', caller)
  end
  me.q = room == '' and P .. 'queue' or P .. 'room:' .. room
  me.since, me.rank = NOW, redis.call('INCR', P .. 'rank')
  if attempt(me, session, started) then return 1 end
  enqueue(me)
  redis.call('HSET', ukey(me.user), 'search', ARGV[17], 'must', ARGV[15])
  if room ~= '' then mark(room) end
  return 0
end

-- Replaces the rooms in which a user listens. ARGV: the record (see `write`), then the rooms as JSON.
-- Returns those in which it may listen, or 0 if it searches or is in a call.
function ops.listen()
  local old = get(ARGV[5])
  if old and (old.q ~= '' or old.session ~= '') then return 0 end
  write(old)
  return set_rooms(get(ARGV[5]), list(ARGV[12]))
end

-- Accepts a knock. ARGV: the record (see `write`), then the room, the knock, session, startedAt.
-- Returns 1 if the call begins, 0 if there is no such knock.
function ops.accept()
  local old = get(ARGV[5])
  local c = old and old.node == caller and visitor(old)
  if not c or c.ring ~= ARGV[13] then return 0 end
  if blocked(old, c) then
    hang_up(c, 'cancelled')
    return 0
  end
  hang_up(c, '')
  unlisten_all(old.user)
  write(old)
  redis.call('HSET', ukey(old.user), 'room', ARGV[12])
  dequeue(c)
  pair(c, get(old.user), ARGV[14], ARGV[15], '[]')
  return 1
end

-- Declines a knock. ARGV: user, knock. Returns 1, or 0 if there is no such knock.
function ops.decline()
  local u = get(ARGV[5])
  local c = u and u.node == caller and visitor(u)
  if not c or c.ring ~= ARGV[6] then return 0 end
  -- A person has decided, so the next caller may ring at once.
  redis.call('HDEL', ukey(u.user), 'rung')
  hang_up(c, '')
  fail(c, 'declined')
  return 1
end

-- A caller got no answer. ARGV: user, knock.
function ops.unanswered()
  local u = get(ARGV[5])
  if not u or u.node ~= caller or u.ring ~= ARGV[6] then return 0 end
  hang_up(u, 'expired')
  fail(u, 'no_answer')
  return 1
end

-- Claims a room with as few digits as possible. ARGV: the record (see `write`), then a random number,
-- the hash of the token for the room, and the number of a former claim ('' for none) with the hash of
-- its token. Returns the room's number, -1 if it is the former one, or 0 if there is none left.
function ops.claim()
  local random = tonumber(ARGV[12])
  for _, number in ipairs(redis.call('ZRANGEBYSCORE', P .. 'claim_ends', '-inf', NOW, 'LIMIT', 0, 100)) do
    unclaim(number)
  end
  local old = get(ARGV[5])
  -- A new owner changes who may meet, which is looked at when a search begins.
  if ARGV[14] ~= '' and not (old and old.q ~= '') and take_claim(ARGV[5], ARGV[14], ARGV[15]) then
    write(old)
    return -1
  end
  if redis.call('ZCARD', P .. 'claims') >= MAX_CLAIMS then return 0 end
  local number
  for digits = 1, MAX_DIGITS do
    local first, last = 10 ^ (digits - 1), 10 ^ digits - 1
    local start = first + random % (last - first + 1)
    -- Rooms in which someone waits without a claim are rare: after a few of them, one digit more.
    for _ = 1, 8 do
      number = free_in(start, last) or free_in(first, start - 1)
      if not number then break end
      number = string.format('%d', number)
      if redis.call('EXISTS', P .. 'room:' .. number) == 0 then break end
      start = tonumber(number) + 1
      number = nil
      if start > last then break end
    end
    if number then break end
  end
  if not number then return 0 end
  write(old)
  own(ARGV[5], number, ARGV[13])
  return tonumber(number)
end

-- Frees a room. ARGV: user, number. Returns 1, or 0 if it does not belong to the user.
function ops.release()
  local number = ARGV[6]
  if not claimed(number) or redis.call('HGET', P .. 'claim_owners', number) ~= ARGV[5] then return 0 end
  unclaim(number)
  return 1
end

-- A hold has run out, or the time until the next knock: look again. ARGV: user, session, startedAt. Returns
-- 1 if it was matched.
function ops.retry()
  local me = get(ARGV[5])
  if not me or me.q == '' or me.node ~= caller then return 0 end
  if attempt(me, ARGV[6], ARGV[7]) then return 1 end
  local room = room_of(me)
  if room then mark(room) end
  return 0
end

-- Leaves the queue. ARGV: user. Returns 1 if it waited, 2 if it is in a call, else 0.
function ops.cancel()
  local u = get(ARGV[5])
  if not u then return 0 end
  if u.q ~= '' then
    dequeue(u)
    return 1
  end
  return u.session ~= '' and 2 or 0
end

-- Ends a call. ARGV: user, session, reason.
function ops.finish()
  local u = get(ARGV[5])
  if u then finish(u, ARGV[6], ARGV[7], caller) end
  return 0
end

-- A client of the calling node is gone. ARGV: user, reason.
function ops.remove()
  local u = get(ARGV[5])
  if u and u.node == caller then forget(u, ARGV[6], caller) end
  if not u then forget_rooms(ARGV[5]) end
  return 0
end

-- Keeps the persons behind two users apart: for a long time if the one who blocks has a bearer token,
-- else while both are here. ARGV: user, its person, partner, its person ('' if the node does not know).
-- Neither needs a record: the partner may have left, and one with a bearer token comes back.
function ops.block()
  local user, one, partner, other = ARGV[5], ARGV[6], ARGV[7], ARGV[8]
  local a, b = get(user), get(partner)
  if other == '' then other = b and b.person or '' end
  local is_gone = (one == user and not a) or (other == partner and not b)
  if other == '' or one == other or is_gone then return 0 end
  block(one, other, one == user and RECORD_TTL or BLOCK_TTL)
  if a and b and a.ring_to == b.user then hang_up(a, 'cancelled') end
  if a and b and b.ring_to == a.user then hang_up(b, 'cancelled') end
  return 1
end

-- Blocks of persons with a bearer token, from a node that knows of them, after the store was away or has
-- lost them. ARGV: a list of who has blocked and whom, as JSON, oldest first.
function ops.block_again()
  for _, pair in ipairs(list(ARGV[5])) do
    if not has_blocked(pair[1], pair[2]) then block(pair[1], pair[2], BLOCK_TTL) end
  end
  return 1
end

-- Gives a user of the calling node to another. ARGV: user, node.
function ops.move()
  local u, to = get(ARGV[5]), ARGV[6]
  if not u or u.node ~= caller then return 0 end
  redis.call('SREM', P .. 'users:' .. caller, u.user)
  redis.call('SADD', P .. 'users:' .. to, u.user)
  redis.call('HSET', ukey(u.user), 'node', to)
  -- If that node has died meanwhile, `beat` must still find it, to remove its users.
  redis.call('ZADD', P .. 'nodes', 'NX', NOW, to)
  return 1
end

-- Which users the store believes to be on the calling node.
function ops.census() return redis.call('SMEMBERS', P .. 'users:' .. caller) end

-- Takes over a user whose node has died, or that was moved to the calling node but did not arrive.
-- ARGV: token, person ('' for one without a bearer token). Returns its record, or false if there is
-- nothing to take over.
function ops.adopt()
  local user = redis.call('GET', P .. 'token:' .. ARGV[5])
  local u = user and get(user)
  if not u or (u.node ~= caller and alive(u.node)) then return false end
  -- A resume token does not carry another person's identity.
  if u.person ~= (ARGV[6] == '' and u.user or ARGV[6]) then return false end
  dequeue(u)
  redis.call('SREM', P .. 'users:' .. u.node, user)
  redis.call('SADD', P .. 'users:' .. caller, user)
  redis.call('HSET', ukey(user), 'node', caller)
  redis.call('DEL', P .. 'token:' .. ARGV[5])
  u.node = caller
  local call, c = 'null', visitor(u)
  local p = u.session ~= '' and get(u.partner)
  if p and p.session == u.session then
    call = '{"session":' .. cjson.encode(u.session) .. ',"partner":' .. card(p) .. '}'
  end
  return '{"card":' .. card(u) .. ',"token":' .. cjson.encode(u.token) .. ',"profile":'
    .. redis.call('HGET', ukey(user), 'profile') .. ',"last_partner":' .. (u.last == '' and 'null' or cjson.encode(u.last))
    .. ',"call":' .. call .. ',"ended":' .. ended_calls(user) .. ',"listening":{"rooms":'
    .. encode(redis.call('SMEMBERS', P .. 'listens:' .. user)) .. ',"knock":' .. (c and knock(c) or 'null') .. ',"shown":'
    .. cjson.encode(redis.call('HGET', ukey(user), 'shown') or cjson.null) .. '},"claims":' .. claims_of(user) .. '}'
end

-- The state of a client, from its node, after it changed nodes or the store was away. ARGV: the
-- record (see `write`), then session and partner ('' for no call), startedAt, the rooms in which it
-- listens and its claims (ClaimRecord), as JSON, and the knock that it knows of, else ''. Returns 1 if
-- the call is over and the node does not know it yet.
function ops.sync()
  local session, partner, started = ARGV[12], ARGV[13], ARGV[14]
  local old = get(ARGV[5])
  if old then dequeue(old) end
  write(old)
  local u = get(ARGV[5])
  for _, claim in ipairs(list(ARGV[16])) do claim_again(u.user, claim) end
  if session == '' then
    finish(u, u.session, 'disconnected', caller)
    set_rooms(u, list(ARGV[15]))
    -- The node may have missed how a knock began or ended.
    local c, known = visitor(get(u.user)), ARGV[17]
    if c and c.ring ~= known then show_knock(u, c) end
    if known ~= '' and not (c and c.ring == known) then
      send(caller, '{"knock_ended":{"user":' .. cjson.encode(u.user) .. ',"knock":' .. cjson.encode(known)
        .. ',"reason":"cancelled"}}')
    end
    return 0
  end
  unlisten_all(u.user)
  local p = get(partner)
  if u.session == session then
    if not p or p.session ~= session then
      finish(u, session, 'disconnected', caller)
      return 1
    end
  elseif p and p.session ~= session then
    return 1
  else
    -- The store has lost this call. The partner's node writes its side with a `sync` of its own.
    redis.call('HSET', ukey(u.user), 'session', session, 'partner', partner)
  end
  if redis.call('EXPIRE', 'session:' .. session, SESSION_TTL) == 0 then open_session(session, u.user, partner, started) end
  return 0
end

-- Corrects NOW after the clock was set forward by `jump` milliseconds (back, if negative).
local function take_back(jump)
  redis.call('INCRBY', P .. 'clock', string.format('%d', -jump))
  NOW = NOW - jump
  -- Other nodes may have sent heartbeats between the jump and this moment. Those now lie in the
  -- future, or, after a jump back, too far in the past: such a node would count as dead. Both get
  -- the present.
  for _, node in ipairs(redis.call('ZRANGE', P .. 'nodes', 0, -1)) do
    local beat = tonumber(redis.call('ZSCORE', P .. 'nodes', node))
    if beat > NOW or (jump < 0 and listens(node)) then redis.call('ZADD', P .. 'nodes', NOW, node) end
  end
end

-- A heartbeat of the calling node. ARGV: '1' to look for dead nodes, and how many milliseconds ago
-- its last heartbeat was, by its own clock ('' for the first). Returns how many nodes are alive, 1
-- if this one was known, and by how many milliseconds the clock was set.
function ops.beat()
  local last, elapsed, jump = tonumber(redis.call('ZSCORE', P .. 'nodes', caller) or nil), tonumber(ARGV[6]), 0
  local known = last and 1 or 0
  if last and elapsed then
    if math.abs(NOW - last - elapsed) > JUMP then
      jump = NOW - last - elapsed
      take_back(jump)
      for _, node in ipairs(redis.call('ZRANGE', P .. 'nodes', 0, -1)) do send(node, '"look_again"') end
    elseif NOW - last >= SUSPECT then
      -- The node stood still for so long that its users were passed over.
      send(caller, '"look_again"')
    end
  end
  redis.call('ZADD', P .. 'nodes', NOW, caller)
  if ARGV[5] == '1' then
    for _, node in ipairs(redis.call('ZRANGEBYSCORE', P .. 'nodes', '-inf', NOW - DEAD)) do
      local users = redis.call('SRANDMEMBER', P .. 'users:' .. node, 200)
      for _, user in ipairs(users) do
        local u = get(user)
        if not u then forget_rooms(user) elseif u.node == node then forget(u, 'node_lost', node) end
        redis.call('SREM', P .. 'users:' .. node, user)
      end
      if #users == 0 then redis.call('ZREM', P .. 'nodes', node) end
    end
    -- Searches in a claimed room end with the claim.
    for _, number in ipairs(redis.call('ZRANGEBYSCORE', P .. 'claim_ends', '-inf', NOW, 'LIMIT', 0, 100)) do
      unclaim(number)
    end
    -- Calls that have expired are not active. A sample of 20 per second finds them all in time.
    for _, session in ipairs(redis.call('SRANDMEMBER', 'active_sessions', 20)) do
      if redis.call('EXISTS', 'session:' .. session) == 0 then redis.call('SREM', 'active_sessions', session) end
    end
  end
  return { redis.call('ZCOUNT', P .. 'nodes', NOW - SUSPECT, '+inf'), known, jump }
end

-- Adds a report to the stream. ARGV: its id, its line, and how many lines to keep. Returns 1 if it is
-- new, 0 if its call has had one of this reporter: the last line with the id counts.
function ops.report()
  local is_new = redis.call('SET', P .. 'reported:' .. ARGV[5], 1, 'NX', 'EX', RECORD_TTL)
  redis.call('XADD', P .. 'reports', 'MAXLEN', '~', ARGV[7], '*', 'report', ARGV[6])
  return is_new and 1 or 0
end

-- The calling node ends. If it still has users, it stays in the list, so that the others find and
-- remove them.
function ops.leave()
  if redis.call('SCARD', P .. 'users:' .. caller) == 0 then redis.call('ZREM', P .. 'nodes', caller) end
  return 0
end

local answer = ops[op]()
settle()
return answer
