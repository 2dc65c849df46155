//! The hub's rules, one by one, and random walks that check its promises after every step.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// For the matchmaker's tests, which know no hub.
pub(in crate::server) fn key(n: u64) -> ClientKey {
    ClientKey(n)
}

/// A hub with a clock, and what each client was sent.
struct World {
    hub: Hub,
    now: Instant,
    inbox: BTreeMap<ClientKey, Vec<ServerEnvelope>>,
    closed: BTreeMap<ClientKey, CloseReason>,
    reports: Vec<Report>,
}

impl World {
    fn new() -> Self {
        let config = HubConfig {
            heartbeat: Duration::from_secs(25),
            silent: Duration::from_secs(60),
            resume_window: Duration::from_secs(30),
            takes_reports: true,
            clock: || SystemTime::UNIX_EPOCH,
            node: None,
            ice: IceSource::new(Vec::new(), None),
            holds: Holds { interests: Duration::from_secs(5), rematch: Duration::from_secs(10) },
        };
        let mut counter = 0u128;
        let ids = Box::new(move || {
            counter += 1;
            Uuid::from_u128(counter)
        });
        Self {
            hub: Hub::new(config, ids),
            now: Instant::now(),
            inbox: BTreeMap::new(),
            closed: BTreeMap::new(),
            reports: Vec::new(),
        }
    }

    fn settle(&mut self) {
        while let Some(effect) = self.hub.poll_effect() {
            match effect {
                Effect::Send(to, envelope) => self.inbox.entry(to).or_default().push((*envelope).clone()),
                Effect::Report(key, report, id) => {
                    self.hub.report_recorded(key, report.report_id.clone(), true, id);
                    self.reports.push(*report);
                }
                Effect::Store(command) => panic!("there is no store: {command:?}"),
                Effect::Close(key, reason) => {
                    assert!(!self.hub.peers.contains_key(&key), "the hub forgets whom it closes");
                    assert!(self.closed.insert(key, reason).is_none(), "a client is closed once");
                }
            }
        }
    }

    fn join(&mut self) -> ClientKey {
        let key = self.hub.connect(None);
        self.settle();
        let inbox = self.take(key);
        assert!(matches!(inbox[..], [ServerMessage::UserRegistered(_)]), "registration comes first: {inbox:?}");
        key
    }

    /// Sends a message; gives what the sender got.
    fn say(&mut self, key: ClientKey, message: ClientMessage) -> Vec<ServerMessage> {
        self.hub.receive(key, message.into(), self.now);
        self.settle();
        self.take(key)
    }

    /// The connection breaks.
    fn lose(&mut self, key: ClientKey) {
        self.hub.disconnect(key, self.now);
        self.settle();
    }

    /// A new connection takes the place of `old`; gives what it heard.
    fn come_back(&mut self, old: ClientKey, last_seq: u64) -> (ClientKey, Vec<ServerMessage>) {
        let resume_token = self.hub.peers[&old].token.clone();
        let key = self.join();
        let heard = self.say(key, ClientMessage::Resume { resume_token, last_seq });
        (key, heard)
    }

    fn wait(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        while let Some(deadline) = self.hub.next_deadline().filter(|&deadline| deadline <= end) {
            self.now = self.now.max(deadline);
            self.hub.tick(self.now);
            self.settle();
        }
        self.now = end;
    }

    fn take(&mut self, key: ClientKey) -> Vec<ServerMessage> {
        self.inbox.remove(&key).unwrap_or_default().into_iter().map(|envelope| envelope.message).collect()
    }

    fn kinds(&mut self, key: ClientKey) -> Vec<&'static str> {
        self.take(key).iter().map(ServerMessage::kind).collect()
    }

    fn pair(&mut self) -> (ClientKey, ClientKey) {
        let (a, b) = (self.join(), self.join());
        self.say(a, find());
        self.say(b, find());
        assert_eq!(self.kinds(a), ["partner_found"], "two who search find each other");
        (a, b)
    }

    fn session(&self, key: ClientKey) -> SessionId {
        self.hub.peers[&key].call.as_ref().expect("in a call").session.clone()
    }

    fn partner(&self, key: ClientKey) -> Option<ClientKey> {
        match self.hub.call(key)?.partner.place {
            Place::Here(partner) => Some(partner),
            Place::Node(_) => panic!("there are no other nodes"),
        }
    }

    fn socket(&self, key: ClientKey) -> SocketId {
        self.hub.peers[&key].socket.clone()
    }

    fn user(&self, key: ClientKey) -> UserId {
        self.hub.peers[&key].user.clone()
    }
}

fn find() -> ClientMessage {
    ClientMessage::FindPartner(FindPartner::default())
}

fn in_room(code: &str) -> ClientMessage {
    ClientMessage::FindPartner(FindPartner { room: Some(code.into()), ..FindPartner::default() })
}

fn candidate(to: SocketId) -> ClientMessage {
    ClientMessage::IceCandidate { to, candidate: RawValue::NULL.to_owned() }
}

fn code(messages: &[ServerMessage]) -> ErrorCode {
    match messages {
        [ServerMessage::Error(report)] => report.code,
        other => panic!("one error was expected: {other:?}"),
    }
}

fn left(messages: &[ServerMessage]) -> LeaveReason {
    match messages {
        [ServerMessage::PartnerLeft(left)] => left.reason,
        other => panic!("one partner_left was expected: {other:?}"),
    }
}

#[test]
fn a_pair_learns_about_each_other_and_one_of_them_offers() {
    let mut world = World::new();
    let (a, b) = (world.join(), world.join());
    let profile = FindPartner { user_name: Some("Jo".into()), user_age: Some(30), ..FindPartner::default() };
    world.say(a, ClientMessage::FindPartner(profile));
    let found_by_b = world.say(b, find());
    let found_by_a = world.take(a);
    let ([ServerMessage::Searching(_), ServerMessage::PartnerFound(of_b)], [ServerMessage::PartnerFound(of_a)]) =
        (&found_by_b[..], &found_by_a[..])
    else {
        panic!("{found_by_b:?} {found_by_a:?}")
    };
    assert_eq!(of_a.session_id, of_b.session_id, "one session");
    assert_ne!(of_a.initiator, of_b.initiator, "exactly one side offers");
    assert_eq!((of_a.socket_id.clone(), of_b.socket_id.clone()), (world.socket(b), world.socket(a)));
    assert_eq!((of_b.user_name.as_str(), of_b.user_age), ("Jo", Some(30)));
    assert_eq!((of_a.user_name.as_str(), of_a.user_age), ("Anonymous", None), "an age is never invented");
    assert_eq!((of_a.user_location.as_str(), &of_a.user_picture), ("Unknown", &None));
}

#[test]
fn messages_go_to_the_partner_only_and_are_numbered() {
    let mut world = World::new();
    let (a, b) = world.pair();
    let (c, d) = world.pair();
    world.take(b);
    for expected in 1..=3 {
        assert!(world.say(a, candidate(world.socket(b))).is_empty(), "a relayed message needs no reply");
        match &world.take(b)[..] {
            [ServerMessage::IceCandidate(relayed)] => {
                assert_eq!(relayed.seq, expected, "one more with each relayed message");
                assert_eq!((relayed.from.clone(), relayed.session_id.clone()), (world.socket(a), world.session(a)));
            }
            other => panic!("one candidate was expected: {other:?}"),
        }
    }
    for stranger in [world.socket(c), world.socket(d), world.socket(a), "nobody".into()] {
        assert_eq!(code(&world.say(a, candidate(stranger))), ErrorCode::NotPartner);
    }
    world.take(c);
    world.take(d);
    let e = world.join();
    assert_eq!(code(&world.say(e, candidate(world.socket(a)))), ErrorCode::NotMatched, "no session before wrong `to`");
    assert!(world.inbox.values().all(Vec::is_empty), "nobody else heard anything: {:?}", world.inbox);
}

#[test]
fn every_end_of_a_call_tells_the_partner_why() {
    let mut world = World::new();
    let (a, b) = world.pair();
    world.take(b);
    let session = world.session(a);
    let wrong = ClientMessage::EndSession { session_id: "other".into(), reason: None };
    assert_eq!(code(&world.say(a, wrong)), ErrorCode::NoSuchSession);
    let end = ClientMessage::EndSession { session_id: session, reason: None };
    assert!(matches!(world.say(a, end.clone())[..], [ServerMessage::SessionEnded(_)]));
    assert_eq!(left(&world.take(b)), LeaveReason::Left);
    assert_eq!(code(&world.say(a, end)), ErrorCode::NoSuchSession, "a call ends once");
    assert_eq!(code(&world.say(b, candidate(world.socket(a)))), ErrorCode::NotMatched, "after partner_left");

    let (a, b) = world.pair();
    world.take(b);
    world.say(a, ClientMessage::Next { session_id: None });
    assert_eq!(left(&world.take(b)), LeaveReason::Skipped);

    let (b, c) = (world.join(), a);
    world.say(b, find());
    world.take(c);
    world.take(b);
    world.lose(b);
    assert_eq!(world.kinds(c), ["partner_reconnecting"]);
    world.wait(29);
    assert!(world.take(c).is_empty(), "a call waits for 30 s");
    world.wait(1);
    assert_eq!(left(&world.take(c)), LeaveReason::Disconnected);

    let (a, b) = world.pair();
    world.take(b);
    world.say(a, ClientMessage::Bye);
    assert_eq!(left(&world.take(b)), LeaveReason::Left);
    assert_eq!(world.closed.get(&a), Some(&CloseReason::Bye));
}

#[test]
fn searching_twice_or_in_a_call_is_refused() {
    let mut world = World::new();
    let a = world.join();
    assert!(matches!(world.say(a, ClientMessage::CancelSearch)[..], [ServerMessage::SearchCancelled]));
    world.say(a, find());
    assert_eq!(code(&world.say(a, find())), ErrorCode::AlreadySearching);
    assert!(matches!(world.say(a, ClientMessage::CancelSearch)[..], [ServerMessage::SearchCancelled]));
    let b = world.join();
    assert!(matches!(world.say(b, find())[..], [ServerMessage::Searching(_)]), "who cancelled is not matched");
    world.say(a, find());
    assert_eq!(code(&world.say(a, find())), ErrorCode::AlreadyMatched);
    assert_eq!(code(&world.say(a, ClientMessage::CancelSearch)), ErrorCode::AlreadyMatched);
}

#[test]
fn next_skips_once_however_often_it_is_pressed() {
    let mut world = World::new();
    let (a, b) = world.pair();
    let c = world.join();
    world.say(c, find());
    let press = ClientMessage::Next { session_id: Some(world.session(a)) };
    let heard: Vec<_> = world.say(a, press.clone()).iter().map(ServerMessage::kind).collect();
    assert_eq!(heard, ["searching", "partner_found"], "c was waiting");
    let session = world.session(a);
    assert!(world.say(a, press).is_empty(), "the second press is for a call that is over");
    assert_eq!(world.session(a), session, "c was not skipped");
    assert_eq!(world.kinds(b), ["partner_left"], "b was skipped once");
    assert_eq!(world.take(c).last().map(ServerMessage::kind), Some("partner_found"));
}

#[test]
fn next_keeps_the_profile_and_the_room() {
    let mut world = World::new();
    let (a, b) = (world.join(), world.join());
    world.say(a, in_room("r"));
    world.say(b, in_room("r"));
    match &world.say(a, ClientMessage::Next { session_id: None })[..] {
        [_, ServerMessage::Searching(searching)] => assert_eq!(searching.room.as_deref(), Some("r")),
        other => panic!("a search in the room was expected: {other:?}"),
    }
    world.say(b, in_room("r"));
    assert!(world.hub.call(a).is_some(), "in a room two may come back at once");
}

#[test]
fn the_partner_just_left_comes_back_only_after_10_s_alone() {
    let mut world = World::new();
    let (a, b) = world.pair();
    world.say(a, ClientMessage::Next { session_id: None });
    world.say(b, find());
    world.wait(9);
    assert!(world.hub.call(a).is_none(), "9 s are not enough");
    world.wait(1);
    assert!(world.hub.call(a).is_some(), "nobody else was there for 10 s");

    world.say(a, ClientMessage::Next { session_id: None });
    world.say(b, find());
    let c = world.join();
    world.say(c, find());
    assert_eq!(world.partner(a), Some(c), "who is new comes before who was left");
}

#[test]
fn a_block_ends_the_call_and_holds_as_long_as_both_are_there() {
    let mut world = World::new();
    let (a, b) = world.pair();
    world.take(b);
    let heard = world.say(a, ClientMessage::Block { partner_id: world.user(b) });
    let heard: Vec<_> = heard.iter().map(ServerMessage::kind).collect();
    assert_eq!(heard, ["session_ended", "blocked"]);
    assert_eq!(left(&world.take(b)), LeaveReason::Blocked);
    for key in [a, b] {
        world.say(key, in_room("r"));
    }
    world.wait(3600);
    assert!(world.hub.call(a).is_none(), "never again, not in a room and not after an hour");
    assert_eq!(code(&world.say(a, ClientMessage::Block { partner_id: world.user(a) })), ErrorCode::BadMessage);
    let unknown = world.say(a, ClientMessage::Block { partner_id: "gone".into() });
    assert!(matches!(unknown[..], [ServerMessage::Blocked(_)]), "who is gone cannot come back under that name");
    let (c, _) = world.come_back(b, 0);
    for key in [a, c] {
        world.say(key, find());
    }
    world.wait(3600);
    assert!(world.hub.call(a).is_none(), "a resume is no way around a block");
    world.lose(c);
    world.wait(30);
    assert!(world.hub.blocks.is_empty(), "blocks of who is gone take no memory");
}

#[test]
fn a_call_can_be_reported_until_ten_minutes_after_its_end() {
    let mut world = World::new();
    let (a, b) = world.pair();
    let (session, reported) = (world.session(a), world.user(b));
    let report = || ClientMessage::Report {
        session_id: session.clone(),
        category: ReportCategory::Spam,
        text: Some("x".into()),
    };
    let heard = world.say(a, report());
    let [ServerMessage::ReportReceived(received)] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!(world.reports[0].report_id, received.report_id);
    assert_eq!((&world.reports[0].reported.user_id, &world.reports[0].session_id), (&reported, &session));
    world.say(b, ClientMessage::Bye);
    world.take(a);
    world.wait(599);
    assert!(matches!(world.say(a, report())[..], [ServerMessage::ReportReceived(_)]), "also when the partner is gone");
    assert_eq!(world.reports[1].reported.user_id, reported);
    world.wait(1);
    assert_eq!(code(&world.say(a, report())), ErrorCode::NoSuchSession, "ten minutes are over");
    let unknown = ClientMessage::Report { session_id: "x".into(), category: ReportCategory::Spam, text: None };
    assert_eq!(code(&world.say(a, unknown)), ErrorCode::NoSuchSession);
    let (c, _) = world.pair();
    world.hub.config.takes_reports = false;
    let current = ClientMessage::Report { session_id: world.session(c), category: ReportCategory::Minor, text: None };
    world.take(c);
    assert_eq!(code(&world.say(c, current)), ErrorCode::Unavailable, "nobody keeps reports: that is said");
}

#[test]
fn a_resume_takes_the_place_of_the_old_connection() {
    let mut world = World::new();
    let (a, b) = world.pair();
    world.take(b);
    let (socket, user, session) = (world.socket(a), world.user(a), world.session(a));
    for _ in 0..3 {
        world.say(b, candidate(socket.clone()));
    }
    world.take(a);
    world.lose(a);
    assert_eq!(world.kinds(b), ["partner_reconnecting"]);
    assert!(world.say(b, candidate(socket.clone())).is_empty(), "kept");
    let (c, heard) = world.come_back(a, 2);
    let [ServerMessage::Resumed(resumed), ServerMessage::IceCandidate(third), ServerMessage::IceCandidate(fourth)] =
        &heard[..]
    else {
        panic!("resumed and two messages were expected: {heard:?}")
    };
    assert_eq!((resumed.missed, resumed.session_id.as_ref()), (2, Some(&session)));
    assert_eq!((third.seq, fourth.seq), (3, 4), "the one that was written and the one that was kept");
    assert_eq!(world.kinds(b), ["partner_resumed"]);
    assert_eq!((world.socket(c), world.user(c)), (socket.clone(), user), "names stay");
    world.say(b, candidate(socket));
    assert!(matches!(&world.take(c)[..], [ServerMessage::IceCandidate(fifth)] if fifth.seq == 5));
    world.say(c, candidate(world.socket(b)));
    assert_eq!(world.kinds(b), ["ice_candidate"]);
    world.wait(60);
    assert_eq!(world.session(c), session, "the old connection's time has no meaning any more");
}

#[test]
fn a_token_is_good_once_and_only_at_first() {
    let mut world = World::new();
    let (a, b) = world.pair();
    world.take(b);
    let resume = |resume_token: String| ClientMessage::Resume { resume_token, last_seq: 0 };
    let used = world.hub.peers[&a].token.clone();
    let c = world.join();
    let fresh = world.hub.peers[&c].token.clone();
    assert_eq!(code(&world.say(c, resume("unknown".into()))), ErrorCode::Unauthorized);
    assert_eq!(code(&world.say(c, resume(used.clone()))), ErrorCode::Unauthorized, "not the first message");
    assert!(matches!(world.say(c, ClientMessage::CancelSearch)[..], [ServerMessage::SearchCancelled]), "a new user");
    let (d, heard) = world.come_back(a, 0);
    assert!(matches!(heard[0], ServerMessage::Resumed(_)), "also while the old connection seems to live");
    assert_eq!(world.closed.get(&a), Some(&CloseReason::Replaced));
    assert_eq!(world.kinds(b), ["partner_reconnecting", "partner_resumed"]);
    let e = world.join();
    assert_eq!(code(&world.say(e, resume(used))), ErrorCode::Unauthorized, "used");
    let f = world.join();
    assert!(matches!(world.say(f, resume(fresh))[0], ServerMessage::Resumed(_)), "c's own token is still good");
    let (g, heard) = world.come_back(d, 0);
    assert!(matches!(heard[0], ServerMessage::Resumed(_)), "the new connection's token is the valid one");
    assert!(world.hub.call(g).is_some());
    let own = world.join();
    let token = world.hub.peers[&own].token.clone();
    assert_eq!(code(&world.say(own, resume(token))), ErrorCode::Unauthorized, "nobody replaces themself");
}

#[test]
fn the_sender_is_told_when_nothing_more_is_kept() {
    let mut world = World::new();
    let (a, b) = world.pair();
    world.take(b);
    world.lose(a);
    world.take(b);
    let to = world.socket(a);
    assert!((0..64).all(|_| world.say(b, candidate(to.clone())).is_empty()), "64 are kept");
    assert_eq!(code(&world.say(b, candidate(to))), ErrorCode::PartnerGone);
    let (_, heard) = world.come_back(a, 0);
    assert!(matches!(&heard[0], ServerMessage::Resumed(resumed) if resumed.missed == 64 && heard.len() == 65));
}

#[test]
fn who_comes_back_hears_what_became_of_the_call() {
    let mut world = World::new();
    let (a, b) = world.pair();
    world.lose(a);
    world.lose(b);
    let (c, heard) = world.come_back(a, 0);
    let heard: Vec<_> = heard.iter().map(ServerMessage::kind).collect();
    assert_eq!(heard, ["resumed", "partner_reconnecting"], "the partner is away, too");
    world.lose(c);
    let (d, _) = world.come_back(b, 0);
    world.say(d, ClientMessage::Bye);
    let (_, heard) = world.come_back(c, 0);
    assert!(matches!(&heard[..], [ServerMessage::Resumed(resumed)] if resumed.session_id.is_none()), "{heard:?}");

    let e = world.join();
    world.say(e, in_room("r"));
    world.lose(e);
    let (_, heard) = world.come_back(e, 0);
    assert!(matches!(&heard[..], [ServerMessage::Resumed(_)]));
    assert_eq!(world.hub.searching(), 0, "a search has ended");
}

#[test]
fn a_person_with_a_token_stays_blocked_and_meets_nobody_of_the_same_name() {
    let mut world = World::new();
    let join = |world: &mut World, subject: &str| {
        let key = world.hub.connect(Some(subject.into()));
        world.settle();
        world.take(key);
        key
    };
    let (a, b) = (join(&mut world, "ann"), join(&mut world, "ann"));
    world.say(a, find());
    world.say(b, find());
    world.wait(60);
    assert!(world.hub.call(a).is_none(), "two devices of one person");
    let c = join(&mut world, "bob");
    world.say(c, find());
    world.say(c, ClientMessage::Block { partner_id: world.user(a) });
    for key in [a, b, c] {
        world.say(key, ClientMessage::Bye);
    }
    let (a, c) = (join(&mut world, "ann"), join(&mut world, "bob"));
    world.say(a, find());
    world.say(c, find());
    world.wait(60);
    assert!(world.hub.call(a).is_none(), "ann and bob never meet again, whatever their userIds");
    let stolen = world.hub.peers[&a].token.clone();
    let thief = join(&mut world, "eve");
    let resume = ClientMessage::Resume { resume_token: stolen, last_seq: 0 };
    assert_eq!(code(&world.say(thief, resume)), ErrorCode::Unauthorized, "a token lends no identity");
}

#[test]
fn replies_and_errors_carry_the_id() {
    let mut world = World::new();
    let a = world.join();
    let t = || RawValue::from_string("1".into()).unwrap();
    for message in [ClientMessage::CancelSearch, ClientMessage::Ping { t: t() }, candidate("x".into()), find()] {
        world.hub.receive(a, ClientEnvelope { message, id: Some("i".into()) }, world.now);
        world.settle();
        let heard = world.inbox.remove(&a).unwrap_or_default();
        assert!(heard.iter().all(|envelope| envelope.id == Some("i".into())) && heard.len() == 1, "{heard:?}");
    }
}

#[test]
fn draining_lets_calls_end_and_takes_nobody_new() {
    let mut world = World::new();
    let (a, b) = world.pair();
    let (idle, searching) = (world.join(), world.join());
    world.say(searching, find());
    world.take(b);
    world.hub.drain(world.now);
    world.settle();
    for key in [idle, searching] {
        assert_eq!(world.closed.get(&key), Some(&CloseReason::Draining), "who is in no call is closed");
        assert_eq!(world.take(key).last().map(ServerMessage::kind), Some("server_draining"), "and told before");
    }
    assert_eq!(world.kinds(a), ["server_draining"]);
    assert_eq!(code(&world.say(a, ClientMessage::Next { session_id: None })), ErrorCode::Draining);
    assert!(world.hub.call(a).is_some(), "a rejected message changes nothing");
    world.say(a, ClientMessage::EndSession { session_id: world.session(a), reason: None });
    for key in [a, b] {
        assert_eq!(world.closed.get(&key), Some(&CloseReason::Draining), "the call is over");
    }
    assert_eq!(world.kinds(b), ["server_draining", "partner_left"]);
}

/// One step of a random walk; clients are chosen by number among those who are there.
#[derive(Debug, Clone)]
enum Step {
    Connect,
    Find { who: usize, room: Option<u8>, interests: u8 },
    Cancel(usize),
    Next { who: usize, stale: bool },
    End(usize),
    Drop(usize),
    Bye(usize),
    Resume(usize),
    Block { who: usize, whom: usize },
    Relay { who: usize, to: usize },
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..12usize;
    prop_oneof![
        2 => Just(Step::Connect),
        5 => (who.clone(), prop::option::weighted(0.2, 0..2u8), 0..8u8)
            .prop_map(|(who, room, interests)| Step::Find { who, room, interests }),
        1 => who.clone().prop_map(Step::Cancel),
        3 => (who.clone(), prop::bool::weighted(0.2)).prop_map(|(who, stale)| Step::Next { who, stale }),
        1 => who.clone().prop_map(Step::End),
        2 => who.clone().prop_map(Step::Drop),
        3 => who.clone().prop_map(Step::Resume),
        1 => who.clone().prop_map(Step::Bye),
        1 => (who.clone(), who.clone()).prop_map(|(who, whom)| Step::Block { who, whom }),
        3 => (who.clone(), who).prop_map(|(who, to)| Step::Relay { who, to }),
        3 => (0..12u64).prop_map(Step::Wait),
    ]
}

/// When and how somebody entered the queue, as the test saw it.
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
        match *step {
            Step::Connect => {
                self.join();
            }
            Step::Wait(seconds) => self.wait(seconds),
            Step::Find { who, room, interests } => {
                let Some(key) = pick(who) else { return };
                let interests = (0..3).filter(|bit| interests >> bit & 1 == 1).map(|bit| bit.to_string()).collect();
                let room = room.map(|room| room.to_string());
                self.say(key, ClientMessage::FindPartner(FindPartner { room, interests, ..FindPartner::default() }));
            }
            Step::Cancel(who) => {
                let Some(key) = pick(who) else { return };
                self.say(key, ClientMessage::CancelSearch);
            }
            Step::Next { who, stale } => {
                let Some(key) = pick(who) else { return };
                self.say(key, ClientMessage::Next { session_id: stale.then(|| "stale".into()) });
            }
            Step::End(who) => {
                let Some(key) = pick(who).filter(|&key| self.hub.call(key).is_some()) else { return };
                self.say(key, ClientMessage::EndSession { session_id: self.session(key), reason: None });
            }
            Step::Drop(who) => {
                let Some(key) = pick(who) else { return };
                self.lose(key);
            }
            Step::Resume(who) => {
                let Some(old) = pick(who) else { return };
                let (user, call) = (self.user(old), self.hub.call(old).map(|call| call.session.clone()));
                let (key, heard) = self.come_back(old, 0);
                assert!(matches!(heard[0], ServerMessage::Resumed(_)), "whoever is here can be resumed: {heard:?}");
                assert_eq!((self.user(key), self.hub.call(key).map(|call| call.session.clone())), (user, call));
            }
            Step::Bye(who) => {
                let Some(key) = pick(who) else { return };
                self.say(key, ClientMessage::Bye);
            }
            Step::Block { who, whom } => {
                let (Some(key), Some(whom)) = (pick(who), pick(whom)) else { return };
                self.say(key, ClientMessage::Block { partner_id: self.user(whom) });
            }
            Step::Relay { who, to } => {
                let (Some(key), Some(to)) = (pick(who), pick(to)) else { return };
                self.inbox.clear();
                if self.hub.peers[&key].is_away() {
                    return;
                }
                let partner = self.partner(key);
                let is_heard = !self.hub.peers[&to].is_away();
                let before = self.hub.peers[&to].delivery.seq();
                let heard = self.say(key, candidate(all_sockets[&to].clone()));
                let listeners: Vec<_> = self.inbox.keys().copied().collect();
                match partner {
                    Some(partner) if partner == to && is_heard => {
                        assert_eq!(listeners, [to], "the partner and nobody else");
                    }
                    Some(partner) if partner == to => {
                        let kept = self.hub.peers[&to].delivery.seq() - before;
                        let told = heard.iter().filter(|message| matches!(message, ServerMessage::Error(_))).count();
                        assert_eq!(kept + told as u64, 1, "kept, or the sender is told");
                    }
                    Some(_) => assert_eq!(code(&heard), ErrorCode::NotPartner),
                    None => assert_eq!(code(&heard), ErrorCode::NotMatched),
                }
                assert!(partner == Some(to) || listeners.is_empty(), "a rejected message reaches nobody");
            }
        }
        self.inbox.clear();
        since.retain(|&key, _| self.hub.matchmaker.contains(key));
        for key in self.hub.keys().into_iter().filter(|&key| self.hub.matchmaker.contains(key)) {
            since.entry(key).or_insert(self.now);
        }
    }

    /// The promises that hold after every step.
    fn check(&self, since: &Waiting) {
        assert_eq!(self.hub.tokens.len(), self.hub.peers.len(), "one token for each client");
        assert_eq!(self.hub.users.len(), self.hub.peers.len(), "one user for each client");
        let in_call = self.hub.peers.values().filter(|peer| peer.call.is_some()).count();
        assert_eq!(self.hub.in_call, in_call);
        for (&key, peer) in &self.hub.peers {
            assert!(!peer.is_away() || !self.hub.matchmaker.contains(key), "who is away does not wait");
            let Some(call) = &peer.call else { continue };
            let partner = self.partner(key).expect("a call has a partner");
            assert_ne!(partner, key, "nobody is matched with themself");
            let other = self.hub.peers.get(&partner).and_then(|other| other.call.as_ref());
            let back = other.map(|other| (self.partner(partner), other.session.clone()));
            assert_eq!(back, Some((Some(key), call.session.clone())), "a call has exactly these two sides");
            assert!(!self.hub.matchmaker.contains(key), "who is in a call does not wait");
            let blocked = self.hub.blocks.get(&peer.person);
            assert!(blocked.is_none_or(|blocked| !blocked.contains(&call.partner.person)), "blocked pairs never meet");
        }
        let waiting: Vec<_> = since.iter().collect();
        for (n, &(&a, &a_since)) in waiting.iter().enumerate() {
            for &(&b, &b_since) in &waiting[..n] {
                assert!(!self.may_meet(a, a_since, b, b_since), "{a:?} and {b:?} wait although they may be matched");
            }
        }
    }

    /// The protocol's rules for a pair, written down a second time.
    fn may_meet(&self, a: ClientKey, a_since: Instant, b: ClientKey, b_since: Instant) -> bool {
        let (one, other) = (&self.hub.peers[&a], &self.hub.peers[&b]);
        let blocked = self.hub.blocks.get(&one.person);
        if one.profile.room != other.profile.room || blocked.is_some_and(|blocked| blocked.contains(&other.person)) {
            return false;
        }
        if one.profile.room.is_some() {
            return true;
        }
        let just_left =
            one.last_partner.as_ref() == Some(&other.person) || other.last_partner.as_ref() == Some(&one.person);
        if just_left && self.now < a_since.max(b_since) + Duration::from_secs(10) {
            return false;
        }
        let (mine, theirs) = (&one.profile.interests, &other.profile.interests);
        let strangers =
            !mine.is_empty() && !theirs.is_empty() && !mine.iter().any(|interest| theirs.contains(interest));
        !strangers || self.now >= a_since.min(b_since) + Duration::from_secs(5)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_interleaving_keeps_the_promises(steps in prop::collection::vec(step(), 1..120)) {
        let mut world = World::new();
        let mut since = Waiting::new();
        for step in steps {
            world.run(&step, &mut since);
            world.check(&since);
        }
        for key in world.hub.keys() {
            world.lose(key);
        }
        world.wait(30);
        prop_assert!(world.hub.peers.is_empty() && world.hub.blocks.is_empty() && world.hub.tokens.is_empty());
        prop_assert!(world.hub.users.is_empty() && world.hub.next_deadline().is_none(), "nothing is left behind");
    }
}
