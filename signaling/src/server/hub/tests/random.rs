//! Random walks: whatever clients do, in whatever order, the invariants hold after every step.

use proptest::prelude::*;

use super::*;
use crate::message::room_number;
use crate::server::hub::listeners::KNOCK_INTERVAL;

/// One step of a random walk. Clients are numbers, taken modulo how many there are.
#[derive(Debug, Clone)]
enum Step {
    Connect,
    Find {
        who: usize,
        room: Option<u8>,
        must_exist: bool,
        interests: u8,
    },
    Claim(usize),
    ClaimAgain {
        who: usize,
        /// Of the claims so far.
        claim: usize,
    },
    Release {
        who: usize,
        room: usize,
    },
    Listen {
        who: usize,
        /// One bit for each room.
        rooms: u8,
    },
    Answer {
        who: usize,
        accept: bool,
    },
    Cancel(usize),
    Next {
        who: usize,
        stale: bool,
    },
    End(usize),
    Drop(usize),
    Bye(usize),
    Resume(usize),
    Block {
        who: usize,
        target: usize,
    },
    Relay {
        who: usize,
        to: usize,
    },
    Wait(u64),
}

/// Two rooms of anyone's, and two that can be claimed.
const ROOMS: [&str; 4] = ["a", "b", "1", "2"];

fn step() -> impl Strategy<Value = Step> {
    let who = 0..12usize;
    prop_oneof![
        2 => Just(Step::Connect),
        8 => (who.clone(), prop::option::weighted(0.7, 0..ROOMS.len() as u8), any::<bool>(), 0..8u8)
            .prop_map(|(who, room, must_exist, interests)| Step::Find { who, room, must_exist, interests }),
        1 => who.clone().prop_map(Step::Claim),
        1 => (who.clone(), any::<usize>()).prop_map(|(who, claim)| Step::ClaimAgain { who, claim }),
        1 => (who.clone(), 2..ROOMS.len()).prop_map(|(who, room)| Step::Release { who, room }),
        4 => (who.clone(), any::<u8>()).prop_map(|(who, rooms)| Step::Listen { who, rooms }),
        3 => (who.clone(), any::<bool>()).prop_map(|(who, accept)| Step::Answer { who, accept }),
        1 => who.clone().prop_map(Step::Cancel),
        3 => (who.clone(), prop::bool::weighted(0.2)).prop_map(|(who, stale)| Step::Next { who, stale }),
        1 => who.clone().prop_map(Step::End),
        2 => who.clone().prop_map(Step::Drop),
        3 => who.clone().prop_map(Step::Resume),
        1 => who.clone().prop_map(Step::Bye),
        1 => (who.clone(), who.clone()).prop_map(|(who, target)| Step::Block { who, target }),
        3 => (who.clone(), who).prop_map(|(who, to)| Step::Relay { who, to }),
        3 => (0..12u64).prop_map(Step::Wait),
        1 => (50..70u64).prop_map(Step::Wait),
    ]
}

/// When each client entered the queue, as the test saw it.
type Waiting = BTreeMap<ClientKey, Instant>;

impl World {
    fn run(&mut self, step: &Step, since: &mut Waiting) {
        let keys: Vec<ClientKey> = {
            let mut keys = self.hub.keys();
            keys.sort();
            keys
        };

        let pick = |n: usize| keys.get(n % keys.len().max(1)).copied();
        let all_sockets: BTreeMap<_, _> = keys.iter().map(|&key| (key, self.socket(key))).collect();
        let former = (self.owners(), self.sessions());

        match *step {
            Step::Connect => {
                self.join();
            }
            Step::Wait(seconds) => self.wait(seconds),
            Step::Find {
                who,
                room,
                must_exist,
                interests,
            } => {
                let Some(key) = pick(who) else { return };
                let interests = (0..3)
                    .filter(|bit| interests >> bit & 1 == 1)
                    .map(|bit| bit.to_string())
                    .collect();
                let room = room.map(|room| ROOMS[usize::from(room)].to_owned());
                self.say(
                    key,
                    ClientMessage::FindPartner(FindPartner {
                        room,
                        must_exist,
                        interests,
                        ..FindPartner::default()
                    }),
                );
            }
            Step::Claim(who) => {
                let Some(key) = pick(who) else { return };
                // So many that those of `ROOMS` are often among them.
                for _ in 0..4 {
                    self.say(key, ClientMessage::ClaimRoom(ClaimRoom::default()));
                }
            }
            Step::ClaimAgain { who, claim } => {
                let (Some(key), false) = (pick(who), self.claims.is_empty()) else {
                    return;
                };

                let former = self.claims[claim % self.claims.len()].clone();
                let number = room_number(&former.room).expect("a number");
                let is_held = self.hub.rooms.is_claimed(number);
                let is_newest =
                    self.claims.iter().rfind(|claim| claim.room == former.room) == Some(&former);
                let heard = self.say(
                    key,
                    ClientMessage::ClaimRoom(ClaimRoom {
                        former: Some(former.clone()),
                    }),
                );

                if let [ServerMessage::RoomClaimed(claimed)] = &heard[..] {
                    assert_eq!(
                        claimed.claim_token.as_ref() == Some(&former.claim_token),
                        is_held && is_newest,
                        "the token gives back the claim that it is for, and no other"
                    );
                }
            }
            Step::Release { who, room } => {
                let Some(key) = pick(who) else { return };
                let (room, user) = (ROOMS[room].to_owned(), self.user(key));
                let number = room_number(&room).expect("a number");
                let is_own = self.hub.rooms.is_claimed_by(number, &user);
                let is_away = self.hub.clients[&key].is_away();
                self.say(key, ClientMessage::ReleaseRoom { room });
                assert!(
                    is_away || !self.hub.rooms.is_claimed_by(number, &user),
                    "the owner has given it up"
                );
                assert!(is_own || former.0 == self.owners(), "no one else can");
            }
            Step::Listen { who, rooms } => {
                let Some(key) = pick(who) else { return };
                let rooms = (0..ROOMS.len())
                    .filter(|bit| rooms >> bit & 1 == 1)
                    .map(|bit| ROOMS[bit].to_owned())
                    .collect();
                self.say(key, ClientMessage::Listen { rooms });
            }
            Step::Answer { who, accept } => {
                // One that has a knock, if there is one.
                let rung: Vec<ClientKey> = keys
                    .iter()
                    .copied()
                    .filter(|key| self.shown_knock(*key).is_some())
                    .collect();
                let Some(&key) = rung.get(who % rung.len().max(1)) else {
                    return;
                };

                let knock = self.shown_knock(key).expect("a knock");
                let is_away = self.hub.clients[&key].is_away();
                let message = if accept {
                    ClientMessage::Accept(knock.into())
                } else {
                    ClientMessage::Decline { knock_id: knock }
                };
                let heard = self.say(key, message);
                assert!(
                    is_away || self.hub.call(key).is_some() == accept,
                    "a knock that was shown can be answered: {heard:?}"
                );
            }
            Step::Cancel(who) => {
                let Some(key) = pick(who) else { return };
                self.say(key, ClientMessage::CancelSearch);
            }
            Step::Next { who, stale } => {
                let Some(key) = pick(who) else { return };
                self.say(
                    key,
                    ClientMessage::Next {
                        session_id: stale.then(|| "stale".into()),
                    },
                );
            }
            Step::End(who) => {
                let Some(key) = pick(who).filter(|&key| self.hub.call(key).is_some()) else {
                    return;
                };

                self.say(
                    key,
                    ClientMessage::EndSession {
                        session_id: self.session(key),
                        reason: None,
                    },
                );
            }
            Step::Drop(who) => {
                let Some(key) = pick(who) else { return };
                self.lose(key);
            }
            Step::Resume(who) => {
                let Some(old) = pick(who) else { return };
                let (user, call) = (
                    self.user(old),
                    self.hub.call(old).map(|call| call.session.clone()),
                );
                let (key, received) = self.come_back(old, 0);

                assert!(
                    matches!(received[0], ServerMessage::Resumed(_)),
                    "every client in the hub can be resumed: {received:?}"
                );

                assert_eq!(
                    (
                        self.user(key),
                        self.hub.call(key).map(|call| call.session.clone())
                    ),
                    (user, call)
                );
            }
            Step::Bye(who) => {
                let Some(key) = pick(who) else { return };
                self.say(key, ClientMessage::Bye);
            }
            Step::Block { who, target } => {
                let (Some(key), Some(target)) = (pick(who), pick(target)) else {
                    return;
                };

                self.say(
                    key,
                    ClientMessage::Block {
                        partner_id: self.user(target),
                    },
                );
            }
            Step::Relay { who, to } => {
                let (Some(key), Some(to)) = (pick(who), pick(to)) else {
                    return;
                };

                self.inbox.clear();
                if self.hub.clients[&key].is_away() {
                    return;
                }

                let partner = self.partner(key);
                let is_connected = !self.hub.clients[&to].is_away();
                let before = self.hub.clients[&to].delivery.seq();
                let received = self.say(key, candidate(all_sockets[&to].clone()));
                let receivers: Vec<_> = self.inbox.keys().copied().collect();

                match partner {
                    Some(partner) if partner == to && is_connected => {
                        assert_eq!(receivers, [to], "only the partner gets it");
                    }
                    Some(partner) if partner == to => {
                        let kept = self.hub.clients[&to].delivery.seq() - before;
                        let rejected = received
                            .iter()
                            .filter(|message| matches!(message, ServerMessage::Error(_)))
                            .count();
                        assert_eq!(
                            kept + rejected as u64,
                            1,
                            "kept for the partner, or rejected"
                        );
                    }
                    Some(_) => assert_eq!(code(&received), ErrorCode::NotPartner),
                    None => assert_eq!(code(&received), ErrorCode::NotMatched),
                }

                assert!(
                    partner == Some(to) || receivers.is_empty(),
                    "a rejected message reaches no other client"
                );
            }
        }

        self.check_owners(&former.0, &former.1);
        self.inbox.clear();
        since.retain(|&key, _| self.hub.matchmaker.contains(key));

        for key in self
            .hub
            .keys()
            .into_iter()
            .filter(|&key| self.hub.matchmaker.contains(key))
        {
            since.entry(key).or_insert(self.now);
        }
    }

    /// The owners of those of [`ROOMS`] that are claimed.
    fn owners(&self) -> BTreeMap<&'static str, UserId> {
        let owner = |room| self.hub.rooms.owner_of(room_number(room)?).cloned();
        ROOMS
            .iter()
            .filter_map(|&room| Some((room, owner(room)?)))
            .collect()
    }

    fn sessions(&self) -> Vec<SessionId> {
        let calls = self.hub.clients.values().flat_map(|client| &client.call);
        calls.map(|call| call.session.clone()).collect()
    }

    /// A call that has begun in a room that was claimed has the owner as one of its sides.
    fn check_owners(&self, owners: &BTreeMap<&str, UserId>, former: &[SessionId]) {
        for client in self.hub.clients.values() {
            if let Some(call) = &client.call
                && !former.contains(&call.session)
                && let Some(owner) = client.profile.room.as_deref().and_then(|r| owners.get(r))
            {
                assert!(
                    [&client.user, &call.partner.user].contains(&owner),
                    "two guests have met in a claimed room"
                );
            }
        }
    }

    /// Checks the invariants.
    fn check(&self, since: &Waiting) {
        assert_eq!(
            self.hub.tokens.len(),
            self.hub.clients.len(),
            "one token for each client"
        );

        assert_eq!(
            self.hub.users.len(),
            self.hub.clients.len(),
            "one user for each client"
        );

        let in_call = self
            .hub
            .clients
            .values()
            .filter(|client| client.call.is_some())
            .count();
        assert_eq!(self.hub.in_call, in_call);

        for (&key, client) in &self.hub.clients {
            assert!(
                !client.is_away() || !self.hub.matchmaker.contains(key),
                "a client that is away does not search"
            );

            let Some(call) = &client.call else { continue };
            let over = Revocation::Session(call.session.as_str().into());
            assert!(!self.revoked.contains(&over), "it goes on");
            let partner = self.partner(key).expect("a call has a partner");
            assert_ne!(partner, key, "a client is not its own partner");
            let other = self
                .hub
                .clients
                .get(&partner)
                .and_then(|other| other.call.as_ref());
            let back = other.map(|other| (self.partner(partner), other.session.clone()));

            assert_eq!(
                back,
                Some((Some(key), call.session.clone())),
                "a call has exactly these two sides"
            );

            assert!(
                !self.hub.matchmaker.contains(key),
                "a client in a call does not search"
            );

            let blocks = &self.hub.blocks;
            assert!(
                !blocks.keep_apart(&client.person, &call.partner.person),
                "blocked pairs are never matched"
            );
        }

        let waiting: Vec<_> = since.iter().collect();
        for (n, &(&a, &a_since)) in waiting.iter().enumerate() {
            for &(&b, &b_since) in &waiting[..n] {
                assert!(
                    !self.may_meet(a, a_since, b, b_since),
                    "{a:?} and {b:?} both wait, but may be matched"
                );
            }
        }
    }

    /// The knock that has not ended, if the client knows of it.
    fn shown_knock(&self, key: ClientKey) -> Option<crate::message::KnockId> {
        let listening = self.hub.clients.get(&key)?.listening.as_ref()?;
        let knock = listening.knock.as_ref()?;
        listening
            .shown
            .clone()
            .filter(|shown| *shown == knock.knock_id)
    }

    /// The rules of ringing, implemented a second time.
    fn check_rings(&self) {
        let listed = self.hub.listeners.check();
        let rooms_of = |client: &Client| client.listening.as_ref().map(|l| l.rooms.clone());
        let rooms: usize = self
            .hub
            .clients
            .values()
            .filter_map(rooms_of)
            .map(|rooms| rooms.len())
            .sum();
        assert_eq!(listed, rooms, "the table has what the clients have");

        for (&key, client) in &self.hub.clients {
            let room = client.profile.room.as_deref();
            let is_waiting = self.hub.matchmaker.contains(key);
            let ring = self.hub.listeners.ring_of(key);
            assert_eq!(client.ringing, ring.is_some(), "it was told");

            if let Some(listening) = &client.listening {
                assert!(
                    client.call.is_none() && !is_waiting,
                    "a listener neither searches nor is in a call"
                );
                let caller = self.hub.listeners.caller_of(&client.user);
                assert_eq!(listening.knock.is_some(), caller.is_some());
                assert!(client.is_away() || listening.shown.is_some() == caller.is_some());
            }

            if let Some(ring) = ring {
                let listener = &self.hub.clients[&self.hub.users[&ring.listener]];
                let listening = listener.listening.as_ref().expect("it listens");
                let knock = listening.knock.as_ref().expect("it is rung");
                assert!(is_waiting && room == Some(&*knock.room));
                assert_eq!(knock.knock_id, ring.knock);
                assert!(listening.rooms.iter().any(|room| **room == *knock.room));
                assert!(
                    !self.are_blocked(client, listener),
                    "blocked pairs never ring"
                );
            }

            let Some(room) = room.filter(|_| is_waiting) else {
                continue;
            };

            let free = self.hub.clients.values().any(|other| {
                let listening = other.listening.as_ref();
                !self.are_blocked(client, other)
                    && other
                        .last_rung
                        .is_none_or(|last| self.now >= last + KNOCK_INTERVAL)
                    && listening.is_some_and(|l| {
                        l.knock.is_none() && l.rooms.iter().any(|listened| **listened == *room)
                    })
            });
            let rang = client
                .last_knock
                .is_some_and(|last| self.now < last + KNOCK_INTERVAL);
            assert!(
                ring.is_some() || !free || rang,
                "{key:?} waits in {room} and could ring"
            );

            let number = room_number(room);
            let exists = number.is_some_and(|number| self.hub.rooms.is_claimed(number))
                || !self.hub.listeners.listening_in(room).is_empty()
                || self.hub.matchmaker.waiting_in(room).count() > 1;
            assert!(
                exists || !client.profile.must_exist,
                "{key:?} waits in {room}, which no longer exists"
            );
        }
    }

    fn are_blocked(&self, one: &Client, other: &Client) -> bool {
        one.person == other.person || self.hub.blocks.keep_apart(&one.person, &other.person)
    }

    /// The protocol's rules for a pair, implemented a second time.
    fn may_meet(&self, a: ClientKey, a_since: Instant, b: ClientKey, b_since: Instant) -> bool {
        let (one, other) = (&self.hub.clients[&a], &self.hub.clients[&b]);

        if one.profile.room != other.profile.room
            || self.hub.blocks.keep_apart(&one.person, &other.person)
        {
            return false;
        }

        if let Some(room) = one.profile.room.as_deref() {
            let owners = self.owners();
            let owner = owners.get(room);
            return owner.is_none_or(|owner| [&one.user, &other.user].contains(&owner));
        }

        let just_left = one.last_partner.as_ref() == Some(&other.person)
            || other.last_partner.as_ref() == Some(&one.person);
        if just_left && self.now < a_since.max(b_since) + Duration::from_secs(10) {
            return false;
        }

        let (one_interests, other_interests) = (&one.profile.interests, &other.profile.interests);
        let share_none = !one_interests.is_empty()
            && !other_interests.is_empty()
            && !one_interests
                .iter()
                .any(|interest| other_interests.contains(interest));
        !share_none || self.now >= a_since.min(b_since) + Duration::from_secs(5)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_invariants_hold_whatever_clients_do(steps in prop::collection::vec(step(), 1..120)) {
        let mut world = World::with(turn_access::with_turn());
        let mut since = Waiting::new();
        let mut sessions = BTreeSet::new();

        for step in steps {
            world.run(&step, &mut since);
            world.check(&since);
            world.check_rings();
            let calls = world.hub.clients.values().filter_map(|client| client.call.as_ref());
            sessions.extend(calls.map(|call| call.session.as_str().to_owned()));
        }

        for key in world.hub.keys() {
            world.lose(key);
        }

        // Claimed rooms are held for ten minutes, and the media of a call that was lost for an hour.
        world.wait(3_630);
        world.check_rings();
        prop_assert!(world.hub.clients.is_empty() && world.hub.blocks.is_empty() && world.hub.tokens.is_empty());
        prop_assert!(world.hub.users.is_empty() && world.hub.next_deadline().is_none(), "nothing is left behind");
        for session in sessions {
            let ended = world.revoked.iter().filter(|end| **end == Revocation::Session(session.as_str().into()));
            prop_assert!(ended.count() >= 1, "the media of {} has no end", session);
        }
    }
}
