//! The matchmaker's rules, one by one. Random walks over the whole hub are in `hub_tests.rs`.

use super::super::hub::tests::key;
use super::*;

const HOLDS: Holds = Holds { interests: Duration::from_secs(5), rematch: Duration::from_secs(10) };

fn free(_: ClientKey, _: ClientKey) -> Relation {
    Relation::Free
}

fn search(interests: &[&str]) -> Search {
    Search { room: None, interests: interests.iter().map(ToString::to_string).collect() }
}

fn room(code: &str) -> Search {
    Search { room: Some(code.into()), interests: Vec::new() }
}

fn pair(found: Option<Match>) -> Option<(ClientKey, ClientKey)> {
    found.map(|found| (found.older, found.newer))
}

#[test]
fn two_who_wait_are_matched_at_once_and_no_longer_wait() {
    let now = Instant::now();
    let mut matchmaker = Matchmaker::new(HOLDS);
    assert_eq!(matchmaker.join(key(1), search(&[]), now, &free), None, "alone");
    assert_eq!(pair(matchmaker.join(key(2), search(&[]), now, &free)), Some((key(1), key(2))));
    assert!(!matchmaker.contains(key(1)) && !matchmaker.contains(key(2)), "both are out of the queue");
    assert_eq!(matchmaker.next_deadline(), None, "nothing is left to wait for");
}

#[test]
fn who_waited_longest_comes_first() {
    let now = Instant::now();
    let mut matchmaker = Matchmaker::new(HOLDS);
    let keep_apart = |a: ClientKey, b: ClientKey| if a.max(b) < key(9) { Relation::Blocked } else { Relation::Free };
    for n in [3, 1, 2] {
        assert_eq!(matchmaker.join(key(n), search(&[]), now, &keep_apart), None, "these three are kept apart");
    }
    assert_eq!(pair(matchmaker.join(key(9), search(&[]), now, &keep_apart)), Some((key(3), key(9))), "3 came first");
}

#[test]
fn more_interests_in_common_go_before_the_longer_wait() {
    let now = Instant::now();
    let mut matchmaker = Matchmaker::new(HOLDS);
    let keep_apart = |a: ClientKey, b: ClientKey| if a.max(b) < key(9) { Relation::Blocked } else { Relation::Free };
    for (n, interests) in [(1, vec!["x"]), (2, vec!["a", "b"]), (3, vec!["b", "c", "a"]), (4, vec!["c", "b", "a"])] {
        matchmaker.join(key(n), search(&interests), now, &keep_apart);
    }
    let found = matchmaker.join(key(9), search(&["a", "b", "c"]), now, &keep_apart).expect("3 has three in common");
    assert_eq!((found.older, found.newer), (key(3), key(9)), "three in common beat two, and 3 came before 4");
    assert_eq!(found.interests, ["b", "c", "a"]);
}

#[test]
fn no_common_interest_is_held_for_5_s_of_the_older_entry() {
    let start = Instant::now();
    let mut matchmaker = Matchmaker::new(HOLDS);
    matchmaker.join(key(1), search(&["a"]), start, &free);
    let later = start + Duration::from_secs(3);
    assert_eq!(matchmaker.join(key(2), search(&["b"]), later, &free), None, "held");
    assert_eq!(matchmaker.poll(start + Duration::from_millis(4999), &free), None, "still held");
    assert_eq!(matchmaker.next_deadline(), Some(start + Duration::from_secs(5)));
    let found = matchmaker.poll(start + Duration::from_secs(5), &free);
    assert_eq!(pair(found), Some((key(1), key(2))), "5 s of the older entry are over");
}

#[test]
fn who_gave_no_interests_is_not_held() {
    let now = Instant::now();
    let mut matchmaker = Matchmaker::new(HOLDS);
    matchmaker.join(key(1), search(&["a"]), now, &free);
    assert_eq!(pair(matchmaker.join(key(2), search(&[]), now, &free)), Some((key(1), key(2))));
}

#[test]
fn who_just_left_each_other_wait_10_s_for_somebody_else() {
    let start = Instant::now();
    let left = |_: ClientKey, _: ClientKey| Relation::JustLeft;
    let mut matchmaker = Matchmaker::new(HOLDS);
    matchmaker.join(key(1), search(&[]), start, &left);
    let later = start + Duration::from_secs(4);
    assert_eq!(matchmaker.join(key(2), search(&[]), later, &left), None);
    assert_eq!(matchmaker.poll(start + Duration::from_secs(10), &left), None, "10 s count from the younger entry");
    let found = matchmaker.poll(later + Duration::from_secs(10), &left);
    assert_eq!(pair(found), Some((key(1), key(2))), "nobody else came");
}

#[test]
fn blocked_pairs_never_meet() {
    let start = Instant::now();
    let blocked = |_: ClientKey, _: ClientKey| Relation::Blocked;
    let mut matchmaker = Matchmaker::new(HOLDS);
    for n in 0..2 {
        matchmaker.join(key(n), search(&["a"]), start, &blocked);
    }
    matchmaker.join(key(5), room("r"), start, &blocked);
    assert_eq!(matchmaker.join(key(6), room("r"), start, &blocked), None, "not in a room either");
    assert_eq!(matchmaker.poll(start + Duration::from_secs(3600), &blocked), None, "not after an hour");
    assert_eq!(matchmaker.next_deadline(), None, "there is nothing to wake up for");
}

#[test]
fn a_room_is_its_own_queue_without_holds() {
    let now = Instant::now();
    let left = |_: ClientKey, _: ClientKey| Relation::JustLeft;
    let mut matchmaker = Matchmaker::new(HOLDS);
    assert_eq!(matchmaker.join(key(1), room("a"), now, &left), None);
    assert_eq!(matchmaker.join(key(2), room("b"), now, &left), None, "another room");
    assert_eq!(matchmaker.join(key(3), search(&[]), now, &left), None, "the lobby is no room");
    assert_eq!(pair(matchmaker.join(key(4), room("a"), now, &left)), Some((key(1), key(4))), "back at once");
    assert!(matchmaker.leave(key(2)) && !matchmaker.leave(key(2)), "leaving twice is leaving once");
    assert!(matchmaker.rooms.is_empty(), "an empty room is forgotten");
}

#[test]
fn two_thousand_users_who_have_nothing_against_each_other_are_all_matched() {
    let now = Instant::now();
    let mut matchmaker = Matchmaker::new(HOLDS);
    let found = (0..2000).filter(|&n| matchmaker.join(key(n), search(&[]), now, &free).is_some()).count();
    assert_eq!(found, 1000, "every second one finds the one before");
}
