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
-- The script has three parts: this one with users, queues and matching, `rooms.lua` with claimed rooms
-- and ringing, `operations.lua` with what a node can ask for.
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
--                       it), rung (when it was last rung, unless it declined), shown (the last knock
--                       that its node was told of)
--   token:<t>           the user that this token resumes
--   users:<node>        set: the users of a node
--   nodes               sorted set: the nodes, by their last heartbeat
--   blocked_by:<person> sorted set: the persons that this one has blocked, by when it did
--   blockers:<id>       set: the persons that have blocked this user, who has no bearer token
--   queue               sorted set: the users who search without a room, by rank
--   room:<code>         sorted set: the users in a room, by rank
--   listen:<code>       sorted set: the users who listen in a room, first come first
--   listens:<id>        set: the rooms in which a user listens
--   plain               sorted set: the users who search without a room and without interests
--   interest:<i>        sorted set: the users who search without a room, with this interest
--   rank                the last rank given
--   ended:<id>          list: the calls of a user that can still be reported, oldest first
--   reported:<id>       this report is in the stream `reports` already
--   clock               milliseconds to add to the clock of Redis' machine, see below
--   claims              sorted set: the rooms that users have claimed, by their number
--   claim_owners        hash: the user that claimed each of them
--   claim_hashes        hash: the hash of the token that claims each of them again (ClaimHash of
--                       `hub/ids.rs`)
--   claim_ends          sorted set: those whose owner has left, or whose call is over, by when they
--                       become free
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
-- Seconds: for how long the blocks of a person with a bearer token outlive its last search, and how many
-- it can have: MAX_PER_PERSON of `hub/blocks.rs`.
local BLOCK_TTL, MAX_BLOCKS = 180 * 86400, 1000
-- Seconds, and a number of calls: REPORTABLE and MAX_ENDED_CALLS of `hub/client.rs`.
local ENDED_TTL, ENDED_CALLS = 600, 64
-- Milliseconds, and a number of rooms: CLAIM_HOLD and CLAIMS_PER_CLIENT of `hub/rooms.rs`.
local CLAIM_HOLD, CLAIMS_PER_USER = 600000, 8
-- Milliseconds, and a number of users: AFTER_CALL and MAX_GUESTS of `hub/rooms.rs`.
local AFTER_CALL, MAX_GUESTS = 60000, 8
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
    'partner', 'last', 'token', 'search', 'must', 'ring', 'ring_to', 'told', 'knocked', 'rung_by', 'rung')
  if not f[1] then return nil end
  return { user = user, node = f[1], socket = f[2], person = f[3], interests = f[4] or '', q = f[5] or '',
    since = tonumber(f[6] or 0), rank = tonumber(f[7] or 0), session = f[8] or '', partner = f[9] or '',
    last = f[10] or '', token = f[11] or '', search = tonumber(f[12] or 0), must = f[13] == '1', ring = f[14] or '',
    ring_to = f[15] or '', told = f[16] or '', knocked = tonumber(f[17] or 0), rung_by = f[18] or '',
    rung = tonumber(f[19] or 0) }
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

local function has_blocked(one, other)
  return redis.call('ZSCORE', P .. 'blocked_by:' .. one, other) and true or false
end

-- Whether one has blocked the other, or both are the same person.
local function blocked(a, b)
  return a.person == b.person or has_blocked(a.person, b.person) or has_blocked(b.person, a.person)
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

-- Ends a search. `reason` is for the listener that it rings at: see `hang_up`.
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
  if not o or o.q ~= me.q or o.session ~= '' or not alive(o.node) or blocked(me, o) then return nil end
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

-- Those in the room of `me` that it may meet, by rank. In a claimed room, guests wait for the owner.
local function in_room(me)
  local owner = redis.call('HGET', P .. 'claim_owners', room_of(me))
  if owner and owner ~= me.user then return { owner } end
  return redis.call('ZRANGE', me.q, 0, -1)
end

-- The best partner for `me` now: the one with most interests in common, and of those the one that
-- has waited longest.
local function best(me)
  if me.q ~= P .. 'queue' then
    local found, most = nil, -1
    for _, user in ipairs(in_room(me)) do
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

