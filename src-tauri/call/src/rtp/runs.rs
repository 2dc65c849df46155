//! Which of the packets that are kept belong together, so that finding a frame takes the same time
//! however many there are.

use std::collections::BTreeMap;

/// What matters about a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) timestamp: u32,
    pub(super) marker: bool,
    /// A keyframe with everything a decoder needs starts with it.
    pub(super) starts_keyframe: bool,
}

/// Packets with consecutive numbers and one timestamp, of which only the last may have the marker: a
/// frame, or a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) first: i64,
    pub(super) last: i64,
    /// The last packet has the marker.
    pub(super) marker: bool,
    /// The first packet that starts a keyframe.
    pub(super) keyframe: Option<i64>,
    timestamp: u32,
}

/// All runs. None can be joined to its neighbor.
#[derive(Debug, Default)]
pub(super) struct Runs {
    by_first: BTreeMap<i64, Run>,
    /// Steps taken so far, for tests.
    #[cfg(test)]
    steps: u64,
}

impl Runs {
    /// Adds a packet, whose number is new.
    pub(super) fn insert(&mut self, number: i64, place: Place) {
        self.count_steps(1);
        let mut run = Run {
            first: number,
            last: number,
            marker: place.marker,
            keyframe: place.starts_keyframe.then_some(number),
            timestamp: place.timestamp,
        };

        let before = self.at(number - 1);
        if let Some(before) = before.filter(|before| is_joined(before, &run)) {
            run.first = before.first;
            run.keyframe = before.keyframe.or(run.keyframe);
        }

        let after = self.by_first.get(&(number + 1)).copied();
        if let Some(after) = after.filter(|after| is_joined(&run, after)) {
            self.by_first.remove(&after.first);
            run.last = after.last;
            run.marker = after.marker;
            run.keyframe = run.keyframe.or(after.keyframe);
        }

        self.by_first.insert(run.first, run);
    }

    /// The run that contains this number.
    pub(super) fn at(&self, number: i64) -> Option<Run> {
        let (_, run) = self.by_first.range(..=number).next_back()?;
        (run.last >= number).then_some(*run)
    }

    /// The last packet of the frame that starts at `start`, if the frame is complete: the one with
    /// the marker, or the last before another timestamp.
    pub(super) fn frame_end(&self, start: i64) -> Option<i64> {
        let run = self.at(start)?;
        self.is_complete(&run).then_some(run.last)
    }

    /// Whether no packet can follow in this run.
    pub(super) fn is_complete(&self, run: &Run) -> bool {
        // A packet that follows would have been joined if it belonged to it.
        run.marker || self.by_first.contains_key(&(run.last + 1))
    }

    /// All runs, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Run> {
        self.by_first.values()
    }

    /// Removes every number below `number`. `keyframe_from` finds the first packet from one number to
    /// another that starts a keyframe.
    pub(super) fn drop_before(
        &mut self,
        number: i64,
        keyframe_from: impl FnOnce(i64, i64) -> Option<i64>,
    ) {
        while let Some(entry) = self.by_first.first_entry() {
            if *entry.key() >= number {
                return;
            }

            let mut run = entry.remove();
            self.count_steps(1);
            if run.last < number {
                continue;
            }

            run.first = number;
            if run.keyframe.is_some_and(|keyframe| keyframe < number) {
                run.keyframe = keyframe_from(number, run.last);
            }

            self.by_first.insert(number, run);
            return;
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.by_first.clear();
    }

    /// Adds to the steps.
    #[cfg(test)]
    pub(super) fn count_steps(&mut self, steps: u64) {
        self.steps += steps;
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "only tests count")]
    pub(super) fn count_steps(&mut self, _steps: u64) {}

    #[cfg(test)]
    pub(super) fn steps(&self) -> u64 {
        self.steps
    }
}

/// Whether `after`, which begins where `before` ends, is a part of the same run.
fn is_joined(before: &Run, after: &Run) -> bool {
    !before.marker && before.timestamp == after.timestamp
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Packets = BTreeMap<i64, Place>;

    /// The end of the frame that starts at `start`, packet by packet.
    fn frame_end(packets: &Packets, start: i64) -> Option<i64> {
        let timestamp = packets.get(&start)?.timestamp;
        for (expected, (&number, place)) in (start..).zip(packets.range(start..)) {
            if number != expected {
                return None;
            }

            if place.timestamp != timestamp {
                return Some(number - 1);
            }

            if place.marker {
                return Some(number);
            }
        }

        None
    }

    fn place() -> impl Strategy<Value = Place> {
        (
            0_u32..3,
            prop::bool::weighted(0.2),
            prop::bool::weighted(0.2),
        )
            .prop_map(|(timestamp, marker, starts_keyframe)| Place {
                timestamp,
                marker,
                starts_keyframe,
            })
    }

    proptest! {
        #[test]
        fn frames_end_where_a_walk_over_the_packets_ends(
            arrivals in proptest::collection::vec((0_i64..40, place()), 0..80),
            cut in 0_i64..40,
        ) {
            let (mut runs, mut packets) = (Runs::default(), Packets::new());
            let first_keyframe = |packets: &Packets, from: i64, to: i64| {
                let mut range = packets.range(from..=to);
                range.find(|(_, place)| place.starts_keyframe).map(|(&number, _)| number)
            };

            for (index, (number, place)) in arrivals.iter().enumerate() {
                if packets.insert(*number, *place).is_none() {
                    runs.insert(*number, *place);
                } else {
                    packets.insert(*number, *place);
                    runs.clear();
                    for (number, place) in &packets {
                        runs.insert(*number, *place);
                    }
                }

                if index == arrivals.len() / 2 {
                    packets = packets.split_off(&cut);
                    let kept = packets.clone();
                    runs.drop_before(cut, |from, to| first_keyframe(&kept, from, to));
                }

                for number in 0..40 {
                    prop_assert_eq!(runs.frame_end(number), frame_end(&packets, number), "{}", number);
                }

                for run in runs.iter() {
                    prop_assert_eq!(run.keyframe, first_keyframe(&packets, run.first, run.last));
                }
            }
        }
    }
}
