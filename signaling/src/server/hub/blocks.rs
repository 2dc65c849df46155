//! The blocks that this process knows. In a cluster, the shared store knows more:
//! it keeps the blocks of people with a token when all servers have started again.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::ids::PersonId;
use crate::server::shrink::ShrinkIfSparse;

/// The most that one person can block; the oldest go first. `cluster.lua` has the same figure
/// (`MAX_BLOCKS`).
pub(super) const MAX_PER_PERSON: usize = 1_000;
/// The most blocks of all; the oldest go first. 45 to 60 MB with subjects of 36 characters, measured.
const MAX_BLOCKS: usize = 100_000;

/// How many blocks to keep.
#[derive(Debug, Clone, Copy)]
struct Caps {
    per_person: usize,
    in_total: usize,
}

/// The persons that one has blocked.
#[derive(Debug, Default)]
struct Blocked {
    /// Whether the blocking person has a bearer token, and so comes back under this name.
    is_lasting: bool,
    /// Each with the number of the block.
    persons: HashMap<PersonId, u64>,
}

/// Pairs of people who must never be matched. A block keeps both apart, whichever of the two made it; it
/// counts towards the caps of the one who made it, so that nobody can displace the blocks of others.
#[derive(Debug)]
pub(super) struct Blocks {
    caps: Caps,
    by: HashMap<PersonId, Blocked>,
    /// Who has blocked each person.
    of: HashMap<PersonId, HashSet<PersonId>>,
    /// The blocks by their number, oldest first: the person who made it, and the blocked one.
    order: BTreeMap<u64, (PersonId, PersonId)>,
    next: u64,
}

impl Default for Blocks {
    fn default() -> Self {
        Self::with_caps(Caps {
            per_person: MAX_PER_PERSON,
            in_total: MAX_BLOCKS,
        })
    }
}

impl Blocks {
    fn with_caps(caps: Caps) -> Self {
        Self {
            caps,
            by: HashMap::new(),
            of: HashMap::new(),
            order: BTreeMap::new(),
            next: 0,
        }
    }

    /// Notes that `one` has blocked `other`; again, if it had. `is_lasting` says whether `one` has a
    /// bearer token.
    pub(super) fn add(&mut self, one: &PersonId, is_lasting: bool, other: &PersonId) {
        self.take(one, other);
        let number = self.next;
        self.next += 1;

        let blocked = self.by.entry(one.clone()).or_default();
        blocked.is_lasting = is_lasting;
        blocked.persons.insert(other.clone(), number);
        let oldest = (blocked.persons.len() > self.caps.per_person)
            .then(|| {
                let oldest = blocked.persons.iter().min_by_key(|(_, number)| **number);
                oldest.map(|(person, _)| person.clone())
            })
            .flatten();

        let blockers = self.of.entry(other.clone()).or_default();
        blockers.insert(one.clone());
        self.order.insert(number, (one.clone(), other.clone()));

        if let Some(oldest) = oldest {
            self.take(one, &oldest);
        }

        while self.order.len() > self.caps.in_total
            && let Some((_, (one, other))) = self.order.first_key_value()
        {
            let (one, other) = (one.clone(), other.clone());
            self.take(&one, &other);
        }
    }

    /// Whether one of them has blocked the other.
    pub(super) fn keep_apart(&self, one: &PersonId, other: &PersonId) -> bool {
        let has_blocked = |one, other| {
            self.by
                .get(one)
                .is_some_and(|blocked| blocked.persons.contains_key(other))
        };

        has_blocked(one, other) || has_blocked(other, one)
    }

    /// A person without a bearer token is gone, and never comes back under this name.
    pub(super) fn forget(&mut self, person: &PersonId) {
        let blocked = self.by.get(person).into_iter();
        let blocked: Vec<_> = blocked
            .flat_map(|blocked| blocked.persons.keys().cloned())
            .collect();
        for other in &blocked {
            self.take(person, other);
        }

        let blockers: Vec<_> = self.of.get(person).into_iter().flatten().cloned().collect();
        for other in &blockers {
            self.take(other, person);
        }
    }

    /// The blocks of people with a bearer token, oldest first: the person who made it, and the blocked one.
    pub(super) fn lasting(&self) -> impl Iterator<Item = &(PersonId, PersonId)> {
        let is_lasting =
            |one: &PersonId| self.by.get(one).is_some_and(|blocked| blocked.is_lasting);
        self.order.values().filter(move |(one, _)| is_lasting(one))
    }

    pub(super) fn clear(&mut self) {
        *self = Self::with_caps(self.caps);
    }

    fn take(&mut self, one: &PersonId, other: &PersonId) {
        let Some(blocked) = self.by.get_mut(one) else {
            return;
        };
        let Some(number) = blocked.persons.remove(other) else {
            return;
        };

        self.order.remove(&number);
        if blocked.persons.is_empty() {
            self.by.remove(one);
            self.by.shrink_if_sparse();
        }

        if let Some(blockers) = self.of.get_mut(other) {
            blockers.remove(one);
            if blockers.is_empty() {
                self.of.remove(other);
                self.of.shrink_if_sparse();
            }
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.by.is_empty() && self.of.is_empty() && self.order.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::message::UserId;

    const CAPS: Caps = Caps {
        per_person: 3,
        in_total: 7,
    };

    fn person(number: u8) -> PersonId {
        PersonId::new(&UserId::from(number.to_string()), None)
    }

    #[derive(Debug, Clone)]
    enum Step {
        Block(u8, u8),
        Forget(u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..6_u8, 0..6_u8).prop_map(|(one, other)| Step::Block(one, other)),
            1 => (0..6_u8).prop_map(Step::Forget),
        ]
    }

    proptest! {
        /// The same as a plain list of the blocks, oldest first.
        #[test]
        fn the_newest_blocks_hold(steps in prop::collection::vec(step(), 0..60)) {
            let mut blocks = Blocks::with_caps(CAPS);
            let mut model: Vec<(u8, u8)> = Vec::new();

            for step in steps {
                match step {
                    Step::Block(one, other) if one == other => continue,
                    Step::Block(one, other) => {
                        // An even number stands for a person with a token.
                        blocks.add(&person(one), one % 2 == 0, &person(other));
                        model.retain(|block| *block != (one, other));
                        model.push((one, other));
                        let of_one = |block: &&(u8, u8)| block.0 == one;
                        if model.iter().filter(of_one).count() > CAPS.per_person {
                            let oldest = model.iter().position(|block| block.0 == one);
                            model.remove(oldest.expect("one of several"));
                        }
                        if model.len() > CAPS.in_total {
                            model.remove(0);
                        }
                    }
                    Step::Forget(one) => {
                        blocks.forget(&person(one));
                        model.retain(|block| block.0 != one && block.1 != one);
                    }
                }

                for one in 0..6 {
                    for other in 0..6 {
                        let expected = model.contains(&(one, other)) || model.contains(&(other, one));
                        prop_assert_eq!(blocks.keep_apart(&person(one), &person(other)), expected);
                    }
                }

                prop_assert_eq!(blocks.order.len(), model.len());
                prop_assert_eq!(blocks.is_empty(), model.is_empty());
                let lasting = model.iter().filter(|block| block.0 % 2 == 0);
                let lasting: Vec<_> = lasting.map(|block| (person(block.0), person(block.1))).collect();
                prop_assert_eq!(blocks.lasting().cloned().collect::<Vec<_>>(), lasting);
            }
        }
    }
}
