-- What the nodes of a cluster share: which users search, which are in a call together, and which
-- node each of them is on.
--
-- Redis runs a script as one step: nothing else reads or writes between its first and its last
-- command. That is what this script guarantees, and why all of it is here:
--
--   * A user is in at most one queue or one call. Both sides of a match leave the queue and enter
--     the call in the same step, so two nodes can never match the same user twice.
--   * A user belongs to exactly one node, the one in its record. Another node gets it only after
--     that node has given it up (`move`), or, once that node no longer counts as alive, with `adopt`.
--   * Both sides of a call end together. (They begin together, too, except that after a loss of data
--     each node restores its own side with `sync`.)
--
-- It does not guarantee that a node learns what happened: PUBLISH reaches only subscribers that
-- are connected at that moment. A node that missed something makes up for it with `sync`, `join`
-- and `census` when it reconnects.
--
-- The rules of matching are those of `matchmaker/mod.rs`, those of ringing are in `hub/ring.rs`; keep
-- them in step.
--
-- Arguments: ARGV[1] is the operation, ARGV[2] the calling node, ARGV[3] and ARGV[4] the holds in
-- milliseconds. The rest is listed at each operation.
--
-- Keys, all but the last two under one prefix with a hash tag, so that a Redis cluster keeps them
-- together:
--   user:<id>           hash: node, socket, person, token, profile, interests (a JSON list, '' for
--                       none), last (the person of the last call), session and partner (while in a
--                       call), q, since and rank (while in a queue: its key, when the wait began,
--                       and the place in it), search and must (the number that its node gave the
--                       search, and '1' if its room must exist), room (of the last search), ring
--                       and ring_to (while it rings: the knock, and at whom), told (the knock that
--                       its node was told of), knocked (when it last rang), rung_by (who rings at
--                       it), shown (the last knock that its node was told of)
--   token:<t>           the user that this token resumes
--   users:<node>        set: the users of a node
--   nodes               sorted set: the nodes, by their last heartbeat
--   blocks:<person>     set: the persons that this one must not be matched with
--   queue               sorted set: the users who search without a room, by rank
--   room:<code>         sorted set: the users in a room, by rank
--   listen:<code>       sorted set: the users who listen in a room, first come first
--   listens:<id>        set: the rooms in which a user listens
--   plain               sorted set: the users who search without a room and without interests
--   interest:<i>        sorted set: the users who search without a room, with this interest
--   rank                the last rank given
--   ended:<id>          list: the calls of a user that can still be reported, oldest first
--   clock               milliseconds to add to the clock of Redis' machine, see below
--   claims              sorted set: the rooms that users have claimed, by their number
--   claim_owners        hash: the user that claimed each of them
--   claim_ends          sorted set: those whose owner has left, by when they become free
--   claims_of:<id>      list: the rooms that a user has claimed, oldest first
--   session:<id>        a running call, as the protocol says
--   active_sessions     set: the ids of the running calls, as the protocol says
local P = '{tandem}:'
local HOLD_INTERESTS, HOLD_REMATCH = tonumber(ARGV[3]), tonumber(ARGV[4])
-- Milliseconds since a node's last heartbeat (one per second): from SUSPECT on, its users are not
-- matched and can be adopted; from DEAD on, they are removed.
local SUSPECT, DEAD = 5000, 12000
-- Seconds. A node writes its calls again every ten minutes, so a call that expires has no node any
-- more.
local SESSION_TTL, RECORD_TTL = 3600, 86400
-- Seconds, and a number of calls: REPORTABLE and MAX_ENDED_CALLS of `hub/client.rs`.
local ENDED_TTL, ENDED_CALLS = 600, 64
-- Milliseconds, and a number of rooms: CLAIM_HOLD and CLAIMS_PER_CLIENT of `hub/rooms.rs`.
local CLAIM_HOLD, CLAIMS_PER_USER = 600000, 8
local MAX_CLAIMS, MAX_DIGITS = 200000, 9
-- Milliseconds: KNOCK_INTERVAL of `hub/listeners.rs`.
local KNOCK_INTERVAL = 3000
local op, caller = ARGV[1], ARGV[2]

-- Milliseconds. The clock of Redis' machine may be set while the cluster runs. `beat` notices, and
-- writes the correction to `clock`. So NOW runs evenly, but it is not the time of any other clock.
local t = redis.call('TIME')
local NOW = t[1] * 1000 + math.floor(t[2] / 1000) + tonumber(redis.call('GET', P .. 'clock') or 0)
-- A heartbeat that is this many milliseconds off the node's own clock means that the clock was set.
-- A slow network cannot cause it: a node gives up on an answer after one second.
local JUMP = 2000

local function ukey(user) return P .. 'user:' .. user end

local function get(user)
  local f = redis.call('HMGET', ukey(user), 'node', 'socket', 'person', 'interests', 'q', 'since', 'rank', 'session',
    'partner', 'last', 'token', 'search', 'must', 'ring', 'ring_to', 'told', 'knocked', 'rung_by')
  if not f[1] then return nil end
  return { user = user, node = f[1], socket = f[2], person = f[3], interests = f[4] or '', q = f[5] or '',
    since = tonumber(f[6] or 0), rank = tonumber(f[7] or 0), session = f[8] or '', partner = f[9] or '',
    last = f[10] or '', token = f[11] or '', search = tonumber(f[12] or 0), must = f[13] == '1', ring = f[14] or '',
    ring_to = f[15] or '', told = f[16] or '', knocked = tonumber(f[17] or 0), rung_by = f[18] or '' }
end

-- Whether the node is subscribed to its inbox. A process that is gone is not, from that moment on.
local function listens(node)
  return tonumber(redis.call('PUBSUB', 'NUMSUB', P .. 'inbox:' .. node)[2]) > 0
end

-- Whether the node has sent its heartbeats and listens. (A process that hangs is still subscribed,
-- but sends none.)
local nodes = {}
local function alive(node)
  if nodes[node] == nil then
    local beat = redis.call('ZSCORE', P .. 'nodes', node)
    nodes[node] = (beat and NOW - beat < SUSPECT and listens(node)) and true or false
  end
  return nodes[node]
end

local function send(node, json) redis.call('PUBLISH', P .. 'inbox:' .. node, json) end

local function list(json) if json == '' then return {} end return cjson.decode(json) end
local function encode(texts) return #texts == 0 and '[]' or cjson.encode(texts) end

-- Calls `change` with the key of each open-queue index that `u` belongs in.
local function index(u, change)
  if u.q ~= P .. 'queue' then return end
  if u.interests == '' then change(P .. 'plain') end
  for _, interest in ipairs(list(u.interests)) do change(P .. 'interest:' .. interest) end
end

local function enqueue(u)
  redis.call('ZADD', u.q, u.rank, u.user)
  index(u, function(key) redis.call('ZADD', key, u.rank, u.user) end)
  redis.call('HSET', ukey(u.user), 'q', u.q, 'since', u.since, 'rank', u.rank)
end

-- The rooms in which someone may have to ring now, or a search may have to end: see `settle`.
local changed = {}
local function mark(room) changed[room] = true end

local function blocked(a, b)
  return a.person == b.person or redis.call('SISMEMBER', P .. 'blocks:' .. a.person, b.person) == 1
end

-- The room of a search, or nil without one.
local function room_of(u)
  local prefix = P .. 'room:'
  if string.sub(u.q, 1, #prefix) == prefix then return string.sub(u.q, #prefix + 1) end
end

-- The user that rings at `u`, or nil.
local function visitor(u)
  if u.rung_by == '' then return nil end
  local c = get(u.rung_by)
  if c and c.ring ~= '' and c.ring_to == u.user then return c end
  redis.call('HDEL', ukey(u.user), 'rung_by')
  u.rung_by = ''
end

-- Ends the ring of `c`, if it rings; its search goes on. The listener's node gets the reason, unless
-- it is '': the listener's own decision.
local function hang_up(c, reason)
  if c.ring == '' then return end
  local knock, l = c.ring, get(c.ring_to)
  redis.call('HDEL', ukey(c.user), 'ring', 'ring_to')
  c.ring = ''
  local room = room_of(c)
  if room then mark(room) end
  if not l or l.rung_by ~= c.user then return end
  redis.call('HDEL', ukey(l.user), 'rung_by')
  if reason ~= '' then
    send(l.node, '{"knock_ended":{"user":' .. cjson.encode(l.user) .. ',"knock":' .. cjson.encode(knock) .. ',"reason":'
      .. cjson.encode(reason) .. '}}')
  end
  -- The next one may ring.
  for _, other in ipairs(redis.call('SMEMBERS', P .. 'listens:' .. l.user)) do mark(other) end
end

-- Ends a search. `reason` is for whoever is rung: see `hang_up`.
local function dequeue(u, reason)
  if u.q == '' then return end
  hang_up(u, reason or 'cancelled')
  local room = room_of(u)
  if room then mark(room) end
  redis.call('ZREM', u.q, u.user)
  index(u, function(key) redis.call('ZREM', key, u.user) end)
  redis.call('HDEL', ukey(u.user), 'q', 'since', 'rank', 'search', 'must', 'told')
  u.q = ''
end

-- `user` no longer listens in `room`.
local function unlisten(user, room)
  redis.call('SREM', P .. 'listens:' .. user, room)
  redis.call('ZREM', P .. 'listen:' .. room, user)
  mark(room)
  local u = get(user)
  local c = u and visitor(u)
  if c and room_of(c) == room then hang_up(c, 'cancelled') end
end

local function unlisten_all(user)
  for _, room in ipairs(redis.call('SMEMBERS', P .. 'listens:' .. user)) do unlisten(user, room) end
end

-- The interests that both have, in the order of `a`.
local function common(a, b)
  local has, both = {}, {}
  for _, interest in ipairs(list(b.interests)) do has[interest] = true end
  for _, interest in ipairs(list(a.interests)) do if has[interest] then both[#both + 1] = interest end end
  return both
end

-- The record of `user` if `me` may be matched with it now, else nil. `shared` is how many interests
-- both have.
local function acceptable(me, user, shared)
  if user == me.user then return nil end
  local o = get(user)
  if not o or o.q ~= me.q or o.session ~= '' or o.person == me.person or not alive(o.node) then return nil end
  if redis.call('SISMEMBER', P .. 'blocks:' .. me.person, o.person) == 1 then return nil end
  if me.q == P .. 'queue' then
    local older, younger = me, o
    if o.rank < me.rank then older, younger = o, me end
    if shared == 0 and me.interests ~= '' and o.interests ~= '' and NOW < older.since + HOLD_INTERESTS then return nil end
    if (me.last == o.person or o.last == me.person) and NOW < younger.since + HOLD_REMATCH then return nil end
  end
  return o
end

-- The first user of a queue, by rank, that may be matched with `me`. Gives up at the first user for
-- which `stop` is true.
local function first(me, key, stop)
  local from, step = 0, 8
  while true do
    local users = redis.call('ZRANGE', key, from, from + step - 1)
    for _, user in ipairs(users) do
      local o = acceptable(me, user, 0)
      if o then return o end
      if stop and stop(user) then return nil end
    end
    if #users < step then return nil end
    from, step = from + step, 64
  end
end

-- The best partner for `me` now: the one with most interests in common, and of those the one that
-- has waited longest.
local function best(me)
  if me.q ~= P .. 'queue' then
    local found, most = nil, -1
    for _, user in ipairs(redis.call('ZRANGE', me.q, 0, -1)) do
      local o = acceptable(me, user, 0)
      local shared = o and #common(me, o) or -1
      if shared > most then found, most = o, shared end
    end
    return found
  end
  if me.interests ~= '' then
    local shared, users = {}, {}
    for _, interest in ipairs(list(me.interests)) do
      local entries = redis.call('ZRANGE', P .. 'interest:' .. interest, 0, -1, 'WITHSCORES')
      for i = 1, #entries, 2 do
        local user = entries[i]
        if not shared[user] then
          users[#users + 1] = { user, tonumber(entries[i + 1]) }
          shared[user] = 0
        end
        shared[user] = shared[user] + 1
      end
    end
    table.sort(users, function(a, b)
      if shared[a[1]] ~= shared[b[1]] then return shared[a[1]] > shared[b[1]] end
      return a[2] < b[2]
    end)
    for _, entry in ipairs(users) do
      local o = acceptable(me, entry[1], shared[entry[1]])
      if o then return o end
    end
    if NOW < me.since + HOLD_INTERESTS then
      -- Users with no shared interest only once their own hold has expired (oldest first), or if
      -- they have no interests.
      local held = first(me, me.q, function(user)
        return tonumber(redis.call('HGET', ukey(user), 'since') or 0) + HOLD_INTERESTS > NOW
      end)
      local plain = first(me, P .. 'plain')
      if held and plain then return held.rank < plain.rank and held or plain end
      return held or plain
    end
  end
  return first(me, me.q)
end

local function card(u)
  return '{"user":' .. cjson.encode(u.user) .. ',"socket":' .. cjson.encode(u.socket) .. ',"person":'
    .. cjson.encode(u.person) .. ',"node":' .. cjson.encode(u.node) .. '}'
end

local function matched(u, partner, session, initiator, interests)
  send(u.node, '{"matched":{"user":' .. cjson.encode(u.user) .. ',"session":' .. cjson.encode(session)
    .. ',"initiator":' .. tostring(initiator) .. ',"interests":' .. interests .. ',"partner":' .. card(partner)
    .. ',"profile":' .. redis.call('HGET', ukey(partner.user), 'profile') .. '}}')
end

local function open_session(session, one, other, started)
  redis.call('SET', 'session:' .. session, '{"id":' .. cjson.encode(session) .. ',"userId1":' .. cjson.encode(one)
    .. ',"userId2":' .. cjson.encode(other) .. ',"startedAt":' .. cjson.encode(started) .. '}', 'EX', SESSION_TTL)
  redis.call('SADD', 'active_sessions', session)
end

-- Puts two users into a call. The older one makes the offer.
local function pair(older, newer, session, started, interests)
  redis.call('HSET', ukey(older.user), 'session', session, 'partner', newer.user)
  redis.call('HSET', ukey(newer.user), 'session', session, 'partner', older.user)
  open_session(session, older.user, newer.user, started)
  matched(older, newer, session, true, interests)
  matched(newer, older, session, false, interests)
end

-- Matches `me` if it can. `me` is in the queue `me.q`, or about to enter it. The one that has
-- waited longer makes the offer.
local function attempt(me, session, started)
  local o = best(me)
  if not o then return false end
  local older, newer = me, o
  if o.rank < me.rank then older, newer = o, me end
  local both = common(older, newer)
  dequeue(o, 'answered')
  dequeue(me, 'answered')
  pair(older, newer, session, started, #both == 0 and '[]' or cjson.encode(both))
  return true
end

-- Notes a call that has ended, so that `u` can still report its partner after its node has died.
local function remember(u, session, partner)
  local key = P .. 'ended:' .. u.user
  redis.call('RPUSH', key, '{"session":' .. cjson.encode(session) .. ',"partner":' .. cjson.encode(partner.user)
    .. ',"person":' .. cjson.encode(partner.person) .. ',"at":' .. NOW .. '}')
  redis.call('LTRIM', key, -ENDED_CALLS, -1)
  redis.call('EXPIRE', key, ENDED_TTL)
end

local function ended_calls(user)
  local calls = {}
  for _, json in ipairs(redis.call('LRANGE', P .. 'ended:' .. user, 0, -1)) do
    local call = cjson.decode(json)
    calls[#calls + 1] = '{"session":' .. cjson.encode(call.session) .. ',"partner":' .. cjson.encode(call.partner)
      .. ',"person":' .. cjson.encode(call.person) .. ',"ago_ms":' .. math.max(0, NOW - call.at) .. '}'
  end
  return '[' .. table.concat(calls, ',') .. ']'
end

-- Frees a claimed room. Its owner no longer listens in it.
local function unclaim(number)
  local owner = redis.call('HGET', P .. 'claim_owners', number)
  redis.call('ZREM', P .. 'claims', number)
  redis.call('ZREM', P .. 'claim_ends', number)
  redis.call('HDEL', P .. 'claim_owners', number)
  if owner then redis.call('LREM', P .. 'claims_of:' .. owner, 0, number) end
  mark(number)
  for _, user in ipairs(redis.call('ZRANGE', P .. 'listen:' .. number, 0, -1)) do unlisten(user, number) end
end

-- Frees the room of a call that is over, if `user` has claimed it.
local function release(user)
  local room = redis.call('HGET', ukey(user), 'room')
  if room and redis.call('HGET', P .. 'claim_owners', room) == user then unclaim(room) end
end

-- A user has left: its rooms are held for a while.
local function end_claims(user)
  local key = P .. 'claims_of:' .. user
  for _, number in ipairs(redis.call('LRANGE', key, 0, -1)) do
    redis.call('ZADD', P .. 'claim_ends', NOW + CLAIM_HOLD, number)
  end
  redis.call('DEL', key)
end

local function claimed(number)
  local ends = redis.call('ZSCORE', P .. 'claim_ends', number)
  if ends and tonumber(ends) <= NOW then unclaim(number) end
  return redis.call('ZSCORE', P .. 'claims', number) and true or false
end

-- Gives a claimed room back to its owner, unless someone else has claimed it since.
local function claim_again(user, number)
  local key = P .. 'claims_of:' .. user
  if claimed(number) then
    if redis.call('HGET', P .. 'claim_owners', number) ~= user then return end
  else
    redis.call('ZADD', P .. 'claims', tonumber(number), number)
    redis.call('HSET', P .. 'claim_owners', number, user)
  end
  redis.call('ZREM', P .. 'claim_ends', number)
  redis.call('LREM', key, 0, number)
  redis.call('RPUSH', key, number)
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

-- Rings, if `c` waits in a room in which someone listens whom nobody rings.
local function ring(c)
  local room = room_of(c)
  if not room or c.ring ~= '' or not alive(c.node) then return end
  for _, user in ipairs(redis.call('ZRANGE', P .. 'listen:' .. room, 0, -1)) do
    local l = get(user)
    if not l then
      -- Its record has expired.
      redis.call('ZREM', P .. 'listen:' .. room, user)
    elseif not visitor(l) and not blocked(c, l) and alive(l.node) then
      local wait = c.knocked + KNOCK_INTERVAL - NOW
      if wait > 0 then
        send(c.node, '{"knock_later":{"user":' .. cjson.encode(c.user) .. ',"search":' .. c.search .. ',"ms":'
          .. string.format('%d', math.min(wait, KNOCK_INTERVAL)) .. '}}')
        return
      end
      c.ring = redis.sha1hex(c.user .. ':' .. NOW .. ':' .. redis.call('INCR', P .. 'rank'))
      redis.call('HSET', ukey(c.user), 'ring', c.ring, 'ring_to', user, 'knocked', NOW)
      redis.call('HSET', ukey(user), 'rung_by', c.user)
      show_knock(l, c)
      return
    end
  end
end

-- Ends a search that cannot succeed, and notifies its node.
local function fail(u, code)
  local search = u.search
  dequeue(u)
  send(u.node, '{"search_ended":{"user":' .. cjson.encode(u.user) .. ',"search":' .. search .. ',"code":'
    .. cjson.encode(code) .. '}}')
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
  release(u.user)
  if p.session ~= session then return end
  redis.call('HDEL', ukey(p.user), 'session', 'partner')
  redis.call('HSET', ukey(p.user), 'last', u.person)
  remember(p, session, u)
  release(p.user)
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
    local key = P .. 'blocks:' .. u.person
    for _, other in ipairs(redis.call('SMEMBERS', key)) do redis.call('SREM', P .. 'blocks:' .. other, u.person) end
    redis.call('DEL', key)
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
end

local ops = {}

-- A search begins. ARGV: the record (see `write`), then room, session, startedAt, '1' if the room
-- must exist, the room's number if it can be claimed, else '', and the number of the search. Returns 1
-- if it was matched at once, 2 if there is no such room.
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
    -- A claimed room is only for those who were invited: `must_exist` in `hub/calls.rs`.
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
  hang_up(c, '')
  fail(c, 'declined')
  return 1
end

-- Nobody has answered a caller. ARGV: user, knock.
function ops.unanswered()
  local u = get(ARGV[5])
  if not u or u.node ~= caller or u.ring ~= ARGV[6] then return 0 end
  hang_up(u, 'expired')
  fail(u, 'no_answer')
  return 1
end

-- Claims a room with as few digits as possible. ARGV: the record (see `write`), then a random
-- number. Returns the room's number, or 0 if there is none left.
function ops.claim()
  local random = tonumber(ARGV[12])
  for _, number in ipairs(redis.call('ZRANGEBYSCORE', P .. 'claim_ends', '-inf', NOW, 'LIMIT', 0, 100)) do
    unclaim(number)
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
  write(get(ARGV[5]))
  redis.call('ZADD', P .. 'claims', tonumber(number), number)
  redis.call('HSET', P .. 'claim_owners', number, ARGV[5])
  local key = P .. 'claims_of:' .. ARGV[5]
  redis.call('RPUSH', key, number)
  if redis.call('LLEN', key) > CLAIMS_PER_USER then unclaim(redis.call('LINDEX', key, 0)) end
  return tonumber(number)
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

-- Keeps the persons behind two users apart, for a day or until one of them is gone. ARGV: user,
-- partner.
function ops.block()
  local a, b = get(ARGV[5]), get(ARGV[6])
  if not a or not b or a.person == b.person then return 0 end
  for one, other in pairs({ [a.person] = b.person, [b.person] = a.person }) do
    redis.call('SADD', P .. 'blocks:' .. one, other)
    redis.call('EXPIRE', P .. 'blocks:' .. one, RECORD_TTL)
  end
  if a.ring_to == b.user then hang_up(a, 'cancelled') end
  if b.ring_to == a.user then hang_up(b, 'cancelled') end
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
    .. cjson.encode(redis.call('HGET', ukey(user), 'shown') or cjson.null) .. '},"claims":'
    .. encode(redis.call('LRANGE', P .. 'claims_of:' .. user, 0, -1)) .. '}'
end

-- The state of a client, from its node, after it changed nodes or the store was away. ARGV: the
-- record (see `write`), then session and partner ('' for no call), startedAt, the rooms in which it
-- listens and those that it has claimed, as JSON, and the knock that it knows of, else ''. Returns 1 if
-- the call is over and the node does not know it yet.
function ops.sync()
  local session, partner, started = ARGV[12], ARGV[13], ARGV[14]
  local old = get(ARGV[5])
  if old then dequeue(old) end
  write(old)
  local u = get(ARGV[5])
  for _, number in ipairs(list(ARGV[16])) do claim_again(u.user, number) end
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

-- The calling node ends. If it still has users, it stays in the list, so that the others find and
-- remove them.
function ops.leave()
  if redis.call('SCARD', P .. 'users:' .. caller) == 0 then redis.call('ZREM', P .. 'nodes', caller) end
  return 0
end

local answer = ops[op]()
settle()
return answer
