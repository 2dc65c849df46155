//! The matchmaker's rules, one by one. Random walks over the whole hub are in
//! `hub/tests/random.rs`.
#![allow(clippy::disallowed_methods, reason = "tests start at the present")]

use std::cell::Cell;

use proptest::prelude::*;

use super::*;

const HOLDS: Holds = Holds {
    interests: Duration::from_secs(5),
    rematch: Duration::from_secs(10),
};

fn key(n: u64) -> ClientKey {
    ClientKey::new(n)
}

fn free(_: ClientKey, _: ClientKey) -> Relation {
    Relation::Free
}

fn search(interests: &[&str]) -> Search {
    Search {
        room: None,
        interests: interests.iter().map(ToString::to_string).collect(),
    }
}

fn room(code: &str) -> Search {
    Search {
        room: Some(code.into()),
        interests: Vec::new(),
    }
}

fn pair(found: Option<Match>) -> Option<(ClientKey, ClientKey)> {
    found.map(|found| (found.older, found.newer))
}

#[test]
fn two_clients_are_matched_at_once_and_leave_the_queue() {
    let now = Instant::now();
    let mut matchmaker = Matchmaker::new(HOLDS);
    assert_eq!(
        matchmaker.join(key(1), search(&[]), now, &free),
        None,
        "there is no one else"
    );

    assert_eq!(
        pair(matchmaker.join(key(2), search(&[]), now, &free)),
        Some((key(1), key(2)))
    );

    assert!(
        !matchmaker.contains(key(1)) && !matchmaker.contains(key(2)),
        "both are out of the queue"
    );

    assert_eq!(matchmaker.next_deadline(), None, "no hold is left");
}

#[test]
fn the_one_that_waited_longest_comes_first() {
    let now = Instant::now();
    let mut matchmaker = Matchmaker::new(HOLDS);
    let keep_apart = |a: ClientKey, b: ClientKey| {
        if a.max(b) < key(9) {
            Relation::Blocked
        } else {
            Relation::Free
        }
    };

    for n in [3, 1, 2] {
        assert_eq!(
            matchmaker.join(key(n), search(&[]), now, &keep_apart),
            None,
            "these three are kept apart"
        );
    }

    assert_eq!(
        pair(matchmaker.join(key(9), search(&[]), now, &keep_apart)),
        Some((key(3), key(9))),
        "3 came first"
    );
}

#[test]
fn more_common_interests_count_more_than_a_longer_wait() {
    let now = Instant::now();
    let mut matchmaker = Matchmaker::new(HOLDS);
    let keep_apart = |a: ClientKey, b: ClientKey| {
        if a.max(b) < key(9) {
            Relation::Blocked
        } else {
            Relation::Free
        }
    };

    for (n, interests) in [
        (1, vec!["x"]),
        (2, vec!["a", "b"]),
        (3, vec!["b", "c", "a"]),
        (4, vec!["c", "b", "a"]),
    ] {
        matchmaker.join(key(n), search(&interests), now, &keep_apart);
    }

    let found = matchmaker
        .join(key(9), search(&["a", "b", "c"]), now, &keep_apart)
        .expect("3 has three in common");
    assert_eq!(
        (found.older, found.newer),
        (key(3), key(9)),
        "three in common beat two, and 3 came before 4"
    );
    assert_eq!(found.interests, ["b", "c", "a"]);
}

#[test]
fn a_pair_without_common_interests_is_held_until_the_older_has_waited_5_s() {
    let start = Instant::now();
    let mut matchmaker = Matchmaker::new(HOLDS);
    matchmaker.join(key(1), search(&["a"]), start, &free);
    let later = start + Duration::from_secs(3);

    assert_eq!(
        matchmaker.join(key(2), search(&["b"]), later, &free),
        None,
        "held"
    );

    assert_eq!(
        matchmaker.poll(start + Duration::from_millis(4999), &free),
        None,
        "still held"
    );

    assert_eq!(
        matchmaker.next_deadline(),
        Some(start + Duration::from_secs(5))
    );

    let found = matchmaker.poll(start + Duration::from_secs(5), &free);
    assert_eq!(
        pair(found),
        Some((key(1), key(2))),
        "the older entry has waited 5 s"
    );
}

#[test]
fn a_client_without_interests_is_not_held() {
    let now = Instant::now();
    let mut matchmaker = Matchmaker::new(HOLDS);
    matchmaker.join(key(1), search(&["a"]), now, &free);

    assert_eq!(
        pair(matchmaker.join(key(2), search(&[]), now, &free)),
        Some((key(1), key(2)))
    );
}

#[test]
fn a_pair_that_just_parted_is_held_until_the_younger_has_waited_10_s() {
    let start = Instant::now();
    let left = |_: ClientKey, _: ClientKey| Relation::JustLeft;
    let mut matchmaker = Matchmaker::new(HOLDS);
    matchmaker.join(key(1), search(&[]), start, &left);
    let later = start + Duration::from_secs(4);

    assert_eq!(matchmaker.join(key(2), search(&[]), later, &left), None);
    assert_eq!(
        matchmaker.poll(start + Duration::from_secs(10), &left),
        None,
        "10 s count from the younger entry"
    );

    let found = matchmaker.poll(later + Duration::from_secs(10), &left);
    assert_eq!(pair(found), Some((key(1), key(2))), "no one else came");
}

#[test]
fn blocked_pairs_are_never_matched() {
    let start = Instant::now();
    let blocked = |_: ClientKey, _: ClientKey| Relation::Blocked;
    let mut matchmaker = Matchmaker::new(HOLDS);

    for n in 0..2 {
        matchmaker.join(key(n), search(&["a"]), start, &blocked);
    }

    matchmaker.join(key(5), room("r"), start, &blocked);
    assert_eq!(
        matchmaker.join(key(6), room("r"), start, &blocked),
        None,
        "not in a room either"
    );

    assert_eq!(
        matchmaker.poll(start + Duration::from_secs(3600), &blocked),
        None,
        "not after an hour"
    );

    assert_eq!(matchmaker.next_deadline(), None, "no deadline is left");
}

#[test]
fn a_room_is_a_queue_of_its_own_without_holds() {
    let now = Instant::now();
    let left = |_: ClientKey, _: ClientKey| Relation::JustLeft;
    let mut matchmaker = Matchmaker::new(HOLDS);

    assert_eq!(matchmaker.join(key(1), room("a"), now, &left), None);
    assert_eq!(
        matchmaker.join(key(2), room("b"), now, &left),
        None,
        "another room"
    );

    assert_eq!(
        matchmaker.join(key(3), search(&[]), now, &left),
        None,
        "the open queue is not a room"
    );

    assert_eq!(
        pair(matchmaker.join(key(4), room("a"), now, &left)),
        Some((key(1), key(4))),
        "matched again at once"
    );

    assert!(
        matchmaker.leave(key(2)) && !matchmaker.leave(key(2)),
        "only the first leave counts"
    );
    assert!(matchmaker.rooms.is_empty(), "an empty room is forgotten");
}

#[test]
fn two_thousand_clients_are_matched_without_comparing_all_pairs() {
    let start = Instant::now();
    let asked = Cell::new(0);
    let free = |_: ClientKey, _: ClientKey| {
        asked.set(asked.get() + 1);
        Relation::Free
    };

    let mut matchmaker = Matchmaker::new(HOLDS);
    let found = (0..2000)
        .filter(|&n| matchmaker.join(key(n), search(&[]), start, &free).is_some())
        .count();

    assert_eq!(
        found, 1000,
        "each second client is matched with the one before"
    );

    // The hardest case: each client has ten interests that no other has, so all pairs are held, and
    // all holds end at once.
    for n in 0..2000 {
        let interests: Vec<String> = (0..10).map(|i| format!("{n}-{i}")).collect();
        let search = Search {
            room: None,
            interests,
        };

        assert_eq!(matchmaker.join(key(n), search, start, &free), None);
    }

    let later = start + HOLDS.interests;
    let found = std::iter::from_fn(|| matchmaker.poll(later, &free)).count();
    assert_eq!((found, matchmaker.len()), (1000, 0));
    assert!(
        matchmaker.open.interested.is_empty() && matchmaker.open.plain.is_empty(),
        "the index is empty"
    );

    assert!(
        asked.get() <= 10 * 2000,
        "{} of 4,000,000 pairs were compared",
        asked.get()
    );
}

/// The matchmaker's choice, implemented a second time without an index: compares with every entry.
fn chosen(
    waiting: &[(ClientKey, Instant, Vec<String>)],
    new: &(ClientKey, Instant, Vec<String>),
    now: Instant,
    relation: &impl Fn(ClientKey, ClientKey) -> Relation,
) -> Option<ClientKey> {
    let mut best: Option<(usize, ClientKey)> = None;
    for (key, since, interests) in waiting {
        let common = interests
            .iter()
            .filter(|interest| new.2.contains(interest))
            .count();
        let share_none = common == 0 && !interests.is_empty() && !new.2.is_empty();
        let may = match relation(*key, new.0) {
            Relation::Free => !share_none || now >= *since + HOLDS.interests,
            Relation::JustLeft | Relation::Blocked | Relation::Guests => false,
        };

        if may && best.is_none_or(|(most, _)| common > most) {
            best = Some((common, *key));
        }
    }

    best.map(|(_, key)| key)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    /// A new client is matched with the one that the rules name, and no two clients keep waiting
    /// that may be matched.
    #[test]
    fn the_choice_is_what_the_rules_say(
        steps in prop::collection::vec((0..4u64, 0..32u8, prop::bool::weighted(0.15)), 1..60),
        relations in prop::collection::vec((0..60u64, 0..60u64, any::<bool>()), 0..20),
    ) {
        let relation = |a: ClientKey, b: ClientKey| {
            let pair = |x: u64, y: u64| (key(x) == a && key(y) == b) || (key(x) == b && key(y) == a);
            match relations.iter().find(|&&(x, y, _)| x != y && pair(x, y)) {
                Some((_, _, true)) => Relation::Blocked,
                Some((_, _, false)) => Relation::JustLeft,
                None => Relation::Free,
            }
        };

        let mut matchmaker = Matchmaker::new(HOLDS);
        let mut now = Instant::now();
        let mut waiting: Vec<(ClientKey, Instant, Vec<String>)> = Vec::new();

        for (n, (pause, interests, leave)) in steps.into_iter().enumerate() {
            now += Duration::from_secs(pause);
            while let Some(Match { older, newer, .. }) = matchmaker.poll(now, &relation) {
                prop_assert_ne!(older, newer);
                prop_assert_ne!(relation(older, newer), Relation::Blocked);
                waiting.retain(|(key, ..)| ![older, newer].contains(key));
            }

            if leave && !waiting.is_empty() {
                let (gone, ..) = waiting.remove(n % waiting.len());
                prop_assert!(matchmaker.leave(gone));
            }

            let interests: Vec<String> =
                (0..5).filter(|bit| interests >> bit & 1 == 1).map(|bit| bit.to_string()).collect();
            let new = (key(n as u64), now, interests.clone());
            let expected = chosen(&waiting, &new, now, &relation);
            let found = matchmaker.join(new.0, Search { room: None, interests }, now, &relation);
            prop_assert_eq!(found.map(|found| found.older), expected);

            match expected {
                Some(partner) => waiting.retain(|(key, ..)| *key != partner),
                None => waiting.push(new),
            }

            prop_assert_eq!(matchmaker.len(), waiting.len());
            for (i, one) in waiting.iter().enumerate() {
                for other in &waiting[..i] {
                    let share_none = !one.2.is_empty() && !other.2.is_empty() && !one.2.iter().any(|x| other.2.contains(x));
                    let may = match relation(one.0, other.0) {
                        Relation::Blocked | Relation::Guests => false,
                        Relation::JustLeft => now >= one.1.max(other.1) + HOLDS.rematch,
                        Relation::Free => true,
                    } && (!share_none || now >= one.1.min(other.1) + HOLDS.interests);
                    prop_assert!(!may, "{:?} and {:?} both wait, but may be matched", one.0, other.0);
                }
            }
        }
    }
}
