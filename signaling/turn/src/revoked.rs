//! Calls and users that are over: their allocations end, and their credentials are refused for as long as
//! they would be valid.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

/// Calls to remember, at 42 bytes each. With credentials that are valid for an hour, that is 72 calls that
/// end per second; beyond, the oldest are forgotten. The quotas hold for whoever uses them then.
const MAX_SESSIONS: usize = 1 << 18;
/// Users to remember, of their own: calls that end by the thousand must not push out a ban.
const MAX_USERS: usize = 1 << 16;

/// What is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revocation {
    /// A call: everything that was given to its two sides for it.
    Session(Box<str>),
    /// A user: everything that was given to them, in a call and outside of one.
    User(Box<str>),
}

/// Stands for the user and the session of a user name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NameKey {
    user: u64,
    session: Option<u64>,
}

/// What is over and could still be used.
#[derive(Debug)]
pub(crate) struct Revoked {
    /// The key is random, so nobody can look for an id that stands for another one's.
    hasher: RandomState,
    /// How long credentials are valid at most.
    lifetime: Duration,
    sessions: Remembered,
    users: Remembered,
}

impl Revoked {
    /// `lifetime` is how long credentials are valid at most.
    pub(crate) fn new(lifetime: Duration) -> Self {
        Self {
            hasher: RandomState::new(),
            lifetime,
            sessions: Remembered::new(MAX_SESSIONS),
            users: Remembered::new(MAX_USERS),
        }
    }

    /// The key of `EXPIRY:USER` or `EXPIRY:USER:SESSION`.
    pub(crate) fn key(&self, username: &str) -> NameKey {
        let mut parts = username.split(':').skip(1);
        let user = parts.next().unwrap_or_default();
        let session = parts.next().filter(|session| !session.is_empty());
        NameKey {
            user: self.hasher.hash_one(user),
            session: session.map(|session| self.hasher.hash_one(session)),
        }
    }

    /// Returns whether it is new.
    pub(crate) fn add(&mut self, revocation: &Revocation, now: Instant) -> bool {
        let until = now + self.lifetime;
        match revocation {
            Revocation::Session(id) => self.sessions.add(self.hasher.hash_one(&**id), until),
            Revocation::User(id) => self.users.add(self.hasher.hash_one(&**id), until),
        }
    }

    /// Whether what this key stands for is over.
    pub(crate) fn contains(&self, key: NameKey) -> bool {
        let is_over = |session| self.sessions.known.contains(&session);
        self.contains_user(key) || key.session.is_some_and(is_over)
    }

    /// Whether the user whom this key stands for is over, in whatever call.
    pub(crate) fn contains_user(&self, key: NameKey) -> bool {
        self.users.known.contains(&key.user)
    }

    /// Forgets whose credentials have expired.
    pub(crate) fn tick(&mut self, now: Instant) {
        self.sessions.forget_expired(now);
        self.users.forget_expired(now);
    }
}

/// A bounded set of ids, each with an end. All last equally long, so the oldest is the first to end.
#[derive(Debug)]
struct Remembered {
    capacity: usize,
    known: HashSet<u64>,
    /// Oldest first.
    order: VecDeque<(Instant, u64)>,
}

impl Remembered {
    fn new(capacity: usize) -> Self {
        Self {
            capacity,
            known: HashSet::new(),
            order: VecDeque::new(),
        }
    }

    /// Remembers an id. Nobody gets credentials for it any more, so a second time changes nothing.
    /// Returns whether it is new.
    fn add(&mut self, id: u64, until: Instant) -> bool {
        if self.known.contains(&id) {
            return false;
        }

        // First, so that no table has to grow for one more.
        if self.order.len() == self.capacity {
            self.forget_oldest();
        }
        self.known.insert(id);
        self.order.push_back((until, id));
        true
    }

    fn forget_expired(&mut self, now: Instant) {
        while self.order.front().is_some_and(|(until, _)| *until <= now) {
            self.forget_oldest();
        }

        // A surge is over: give its memory back.
        if self.order.capacity() > 1024 && self.order.len() < self.order.capacity() / 4 {
            self.order.shrink_to(self.order.len() * 2);
            self.known.shrink_to(self.order.len() * 2);
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, id)) = self.order.pop_front() {
            self.known.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests start at the present")]

    use proptest::prelude::*;

    use super::*;

    const LIFETIME: Duration = Duration::from_secs(100);

    fn session(id: &str) -> Revocation {
        Revocation::Session(id.into())
    }

    fn user(id: &str) -> Revocation {
        Revocation::User(id.into())
    }

    #[test]
    fn a_session_ends_for_both_sides_and_a_user_in_every_call() {
        let now = Instant::now();
        let mut revoked = Revoked::new(LIFETIME);
        revoked.add(&session("call"), now);
        revoked.add(&user("eve"), now);
        let is_over = |name| revoked.contains(revoked.key(name));

        for over in ["9:ann:call", "8:bob:call", "9:eve", "9:eve:other"] {
            assert!(is_over(over), "{over}");
        }
        for valid in ["9:ann", "9:ann:", "9:ann:other", "9:call", "9:bob:eve"] {
            assert!(!is_over(valid), "{valid}");
        }
    }

    #[test]
    fn more_than_can_be_remembered_push_out_the_oldest_of_their_kind() {
        let now = Instant::now();
        let mut revoked = Revoked::new(LIFETIME);
        revoked.add(&user("eve"), now);
        for number in 0..=MAX_SESSIONS {
            revoked.add(&session(&number.to_string()), now);
        }

        let is_over = |name| revoked.contains(revoked.key(name));
        assert!(!is_over("9:ann:0") && is_over("9:ann:1"));
        assert!(is_over("9:eve"), "a ban stays");
        assert_eq!(revoked.sessions.order.len(), MAX_SESSIONS);
        assert_eq!(revoked.sessions.known.len(), MAX_SESSIONS);
    }

    proptest! {
        /// Against a list that is never cleaned up.
        #[test]
        fn what_is_over_is_known_for_as_long_as_credentials_are_valid(
            steps in prop::collection::vec((any::<bool>(), 0u8..20, 0u64..30), 1..200),
        ) {
            let start = Instant::now();
            let mut now = start;
            let mut revoked = Revoked::new(LIFETIME);
            let mut list: Vec<(Revocation, Instant)> = Vec::new();
            for (is_user, id, seconds) in steps {
                now += Duration::from_secs(seconds);
                revoked.tick(now);
                let id = id.to_string();
                let over = if is_user { user(&id) } else { session(&id) };
                let is_known = |(known, until): &(Revocation, Instant)| *known == over && *until > now;
                if !list.iter().any(is_known) {
                    list.push((over.clone(), now + LIFETIME));
                }
                revoked.add(&over, now);

                for id in 0..20 {
                    let expected = |over: Revocation| {
                        list.iter().any(|(known, until)| *known == over && *until > now)
                    };
                    let name = format!("9:{id}");
                    let known = revoked.contains(revoked.key(&name));
                    prop_assert_eq!(known, expected(user(&id.to_string())));
                    let name = format!("9:nobody:{id}");
                    let known = revoked.contains(revoked.key(&name));
                    prop_assert_eq!(known, expected(session(&id.to_string())));
                }
            }

            revoked.tick(now + LIFETIME);
            prop_assert!(revoked.sessions.known.is_empty() && revoked.users.order.is_empty());
        }
    }
}
