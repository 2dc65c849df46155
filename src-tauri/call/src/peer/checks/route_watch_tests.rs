//! Tests of the watch on the route.
#![allow(clippy::disallowed_methods, reason = "tests choose their own epoch")]

use proptest::prelude::*;

use super::super::stun::examples;
use super::*;

const MS: Duration = Duration::from_millis(1);

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

fn route(port: u16) -> Pair {
    (address(5_000), End::Direct(address(port)))
}

fn transaction(number: u128) -> Transaction {
    let mut bytes = [0; 12];
    bytes.copy_from_slice(&number.to_be_bytes()[4..]);
    bytes
}

/// A call whose partner is at port 1.
struct Rig {
    watch: RouteWatch,
    start: Instant,
    ms: u32,
    /// How long an answer takes, milliseconds. `None`: there is none.
    rtt: Option<u32>,
    /// Where the partner sends from.
    port: u16,
    /// Milliseconds between the partner's packets.
    every: u32,
    lost_at: Option<u32>,
    moved_at: Option<u32>,
}

impl Rig {
    fn new(every: u32, rtt: u32) -> Self {
        Self {
            watch: RouteWatch::default(),
            start: Instant::now(),
            ms: 0,
            rtt: Some(rtt),
            port: 1,
            every,
            lost_at: None,
            moved_at: None,
        }
    }

    /// Lets this time pass, and remembers when the watch first found something.
    fn pass(&mut self, ms: u32) {
        for _ in 0..ms {
            self.ms += 1;
            let now = self.start + MS * self.ms;
            if self.ms.is_multiple_of(20) {
                self.watch.on_sent(now, route(1), Traffic::Media);
            }

            if self.ms.is_multiple_of(self.every) {
                self.watch
                    .on_received(now, route(self.port), Traffic::Media);
            }

            if self.ms.is_multiple_of(400) {
                let check = Traffic::Check(transaction(self.ms.into()));
                self.watch.on_sent(now, route(1), check);
            }

            if let Some(sent) = self.rtt.and_then(|rtt| self.ms.checked_sub(rtt))
                && sent.is_multiple_of(400)
            {
                let answer = Traffic::Answer(transaction(sent.into()));
                self.watch.on_received(now, route(1), answer);
            }

            if self.watch.health(now).is_silent {
                self.lost_at.get_or_insert(self.ms);
            }

            if self.watch.has_moved(now) {
                assert_eq!(self.moved_at, None, "it is reported once");
                self.moved_at = Some(self.ms);
            }
        }
    }
}

#[test]
fn a_partner_who_sends_hardly_anything_is_not_silent() {
    for rtt in [1, 300, 700] {
        let mut rig = Rig::new(1_000, rtt);
        rig.pass(20_000);
        assert_eq!((rig.lost_at, rig.moved_at), (None, None), "{rtt} ms");
    }
}

#[test]
fn media_that_ends_is_a_silence() {
    let mut rig = Rig::new(20, 30);
    rig.pass(10_000);
    assert_eq!(rig.lost_at, None);

    (rig.every, rig.rtt) = (u32::MAX, None);
    rig.pass(1_000);
    let lost_at = rig.lost_at.expect("silent");
    assert!((10_300..=10_450).contains(&lost_at), "{lost_at}");
    assert_eq!(rig.moved_at, None, "nothing comes from elsewhere");
}

#[test]
fn checks_without_answers_are_a_silence_where_no_media_comes() {
    let mut rig = Rig::new(1_000, 30);
    rig.pass(10_100);
    rig.rtt = None;
    rig.every = u32::MAX;
    rig.pass(1_000);
    let lost_at = rig.lost_at.expect("silent");
    assert!((10_400..=10_800).contains(&lost_at), "{lost_at}");
}

#[test]
fn a_long_silence_ends_when_checks_are_answered_again() {
    let mut rig = Rig::new(20, 30);
    rig.pass(10_000);
    (rig.every, rig.rtt) = (u32::MAX, None);
    rig.pass(20_000);
    let now = rig.start + MS * rig.ms;
    assert!(rig.watch.health(now).is_unanswered);
    assert!(!rig.watch.take_recovery());

    (rig.every, rig.rtt) = (20, Some(30));
    rig.pass(1_000);
    assert!(rig.watch.take_recovery(), "the partner needs a keyframe");
    let now = rig.start + MS * rig.ms;
    assert!(!rig.watch.health(now).is_unanswered);
}

#[test]
fn a_partner_who_moves_again_and_again_is_followed_less_and_less() {
    let (mut watch, start) = (RouteWatch::default(), Instant::now());
    let mut moves: Vec<u32> = Vec::new();
    for ms in (0..60_000_u32).step_by(20) {
        let (now, port) = (start + MS * ms, 1 + moves.len() as u16);
        watch.on_sent(now, route(port), Traffic::Media);
        if ms.is_multiple_of(400) {
            watch.on_sent(now, route(port), Traffic::Check(transaction(ms.into())));
        }

        watch.on_received(now, route(port + 1), Traffic::Media);
        if watch.has_moved(now) {
            moves.push(ms);
        }
    }

    let pauses: Vec<u32> = moves.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(pauses, [2_000, 4_000, 8_000, 16_000], "{moves:?}");
}

#[test]
fn a_partner_behind_another_port_has_moved() {
    for every in [20, 1_000] {
        let mut rig = Rig::new(every, 30);
        rig.pass(10_100);
        (rig.port, rig.rtt) = (2, None);
        rig.pass(5_000);
        assert!(!rig.watch.take_recovery(), "not yet");
        let moved_at = rig.moved_at.expect("moved");
        let latest = 10_100 + 400 + 300 + every;
        assert!((10_300..=latest).contains(&moved_at), "{moved_at}");
    }
}

#[test]
fn checks_of_a_restart_are_no_move() {
    let mut rig = Rig::new(20, 30);
    rig.pass(10_000);
    // A TURN server is gone: nothing comes, until ICE restarts.
    (rig.every, rig.rtt) = (u32::MAX, None);
    rig.pass(1_500);
    rig.watch.on_restart(rig.start + MS * rig.ms);
    (rig.port, rig.every) = (2, 20);
    rig.pass(1_900);
    assert_eq!(rig.moved_at, None, "ICE is finding the partner there");

    rig.pass(1_000);
    assert!(rig.moved_at.is_some(), "it has found nobody");
}

#[test]
fn who_sends_from_two_addresses_has_not_moved() {
    let mut rig = Rig::new(20, 30);
    rig.pass(5_000);
    // As a browser that prefers another pair: it still answers on this one.
    rig.port = 2;
    rig.pass(5_000);
    assert_eq!(rig.moved_at, None);
}

#[test]
fn a_check_is_lost_where_only_the_way_there_is() {
    let mut rig = Rig::new(20, 30);
    rig.pass(10_100);
    rig.rtt = None;
    rig.pass(1_000);
    assert_eq!(rig.lost_at, None, "media still comes");
    assert!(rig.watch.health(rig.start + MS * rig.ms).is_unanswered);
}

#[test]
fn a_route_that_was_lost_for_a_while_recovers_once() {
    let mut rig = Rig::new(20, 30);
    rig.pass(10_100);
    rig.rtt = None;
    rig.pass(2_000);
    assert!(!rig.watch.take_recovery());

    rig.rtt = Some(30);
    rig.pass(500);
    assert!(rig.watch.take_recovery());
    rig.pass(5_000);
    assert!(!rig.watch.take_recovery());
}

#[test]
fn a_short_outage_is_a_recovery_and_a_lost_check_is_none() {
    for (every, is_recovery) in [(u32::MAX, true), (20, false)] {
        let mut rig = Rig::new(20, 30);
        rig.pass(10_100);
        (rig.every, rig.rtt) = (every, None);
        rig.pass(600);
        (rig.every, rig.rtt) = (20, Some(30));
        rig.pass(1_000);
        assert_eq!(rig.watch.take_recovery(), is_recovery);
    }
}

#[test]
fn another_route_that_works_is_a_recovery() {
    let mut watch = RouteWatch::default();
    let now = Instant::now();
    let mut prove = |port| {
        watch.on_sent(now, route(port), Traffic::Media);
        watch.on_sent(now, route(port), Traffic::Check(transaction(1)));
        watch.on_received(now, route(port), Traffic::Answer(transaction(1)));
        watch.take_recovery()
    };
    assert!(!prove(1), "the first one of a call");
    assert!(prove(2));
}

#[test]
fn another_route_is_judged_anew() {
    let mut rig = Rig::new(20, 30);
    rig.pass(5_000);
    rig.rtt = None;
    rig.pass(10);
    let now = rig.start + MS * rig.ms;
    rig.watch.on_sent(now, route(3), Traffic::Media);
    assert!(
        !rig.watch.health(now + 500 * MS).is_silent,
        "nothing is known yet"
    );
}

#[test]
fn datagrams_are_told_apart() {
    for (datagram, expected) in [
        (vec![0x80, 96, 0, 1], Traffic::Media),
        (examples::check(7), Traffic::Check([7; 12])),
        (examples::answer(7), Traffic::Answer([7; 12])),
        (vec![22, 0xfe, 0xfd], Traffic::Other),
        (Vec::new(), Traffic::Other),
    ] {
        assert_eq!(Traffic::of(&datagram), expected, "{datagram:?}");
    }
}

/// What a TURN server, at port 9, forwards from the partner, who is behind another port from 2 s on.
#[test]
fn a_partner_who_moves_behind_a_turn_server_has_moved() {
    let (local, server) = (address(5_000), address(9));
    let media = [0x80, 96, 0, 1];
    let mut watch = RouteWatch::default();
    let start = Instant::now();
    let mut moved_at = None;
    for ms in (0..4_000_u32).step_by(20) {
        let now = start + MS * ms;
        let mut send = |datagram: &[u8]| {
            watch.on_datagram_sent(now, (local, server), datagram);
        };
        if ms == 200 {
            send(&examples::channel_request(0x4000, address(1)));
        }

        let through = |bytes: &[u8]| match ms {
            ..300 => examples::indication(address(1), bytes),
            _ => examples::channel_data(0x4000, bytes),
        };
        send(&through(&media));
        if ms.is_multiple_of(400) {
            send(&through(&examples::check((ms / 400) as u8)));
        }

        let mut receive = |datagram: &[u8]| {
            watch.on_datagram_received(now, (local, server), datagram);
        };
        if ms < 2_000 {
            receive(&through(&media));
            receive(&through(&examples::answer((ms / 400) as u8)));
        } else {
            receive(&examples::indication(address(2), &media));
        }

        // What the server says itself is no sign of the partner.
        receive(&examples::answer(99));
        let is_recovery = watch.take_recovery();
        assert!(!is_recovery, "it is one route in both forms: {ms} ms");
        if watch.has_moved(now) {
            moved_at.get_or_insert(ms);
        }
    }

    let moved_at = moved_at.expect("moved");
    assert!((2_300..=2_700).contains(&moved_at), "{moved_at}");
}

#[test]
fn media_goes_through_a_turn_server_or_not() {
    let (local, server, peer) = (address(5_000), address(9), address(1));
    let media = [0x80, 96, 0, 1];
    let mut watch = RouteWatch::default();
    assert!(!watch.goes_through((local, server)), "nothing was sent");

    watch.on_datagram_sent(Instant::now(), (local, peer), &media);
    assert!(!watch.goes_through((local, peer)), "directly");

    let relayed = examples::indication(peer, &media);
    watch.on_datagram_sent(Instant::now(), (local, server), &relayed);
    assert!(watch.goes_through((local, server)));
    assert!(
        !watch.goes_through((address(5_001), server)),
        "another socket"
    );
    assert!(!watch.goes_through((local, address(8))), "another server");
}

#[test]
fn channels_without_end_are_forgotten() {
    let (local, server) = (address(5_000), address(9));
    let mut watch = RouteWatch::default();
    let now = Instant::now();
    for number in 0..1_000 {
        let request = examples::channel_request(0x4000 + number, address(number));
        watch.on_datagram_sent(now, (local, server), &request);
    }

    assert_eq!(watch.channels.len(), MAX_CHANNELS);
    let channel = |number| End::Channel { server, number };
    let newest = watch.route((local, channel(0x4000 + 999)));
    let expected = End::Relayed {
        server,
        peer: address(999),
    };
    assert_eq!(newest, (local, expected));
    let oldest = (local, channel(0x4000));
    assert_eq!(watch.route(oldest), oldest, "a route of its own");
}

proptest! {
    /// Whatever happens, a route that has just been heard is neither silent nor left.
    #[test]
    fn a_route_that_is_heard_is_kept(
        steps in prop::collection::vec((0..900_u32, 0..4_u16, 0..5_u128, any::<bool>()), 1..80),
    ) {
        let mut watch = RouteWatch::default();
        let mut now = Instant::now();
        for (ms, port, number, is_sent) in steps {
            now += MS * ms;
            let traffic = match number {
                0 | 1 => Traffic::Media,
                2 => Traffic::Check(transaction(number)),
                3 => Traffic::Answer(transaction(number - 1)),
                _ => Traffic::Other,
            };
            if is_sent {
                watch.on_sent(now, route(port), traffic);
            } else {
                watch.on_received(now, route(port), traffic);
            }

            let used = watch.used.as_ref().map(|used| used.route);
            if !is_sent && used == Some(route(port)) {
                prop_assert!(!watch.health(now).is_silent);
                prop_assert!(!watch.has_moved(now));
            }

            let checks = watch.used.as_ref().map_or(0, |used| used.checks.len());
            prop_assert!(checks <= MAX_CHECKS);
        }
    }
}
