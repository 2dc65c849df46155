//! What a link does when: its conditions from the start, and timed changes.

use std::time::Duration;

use super::Conditions;

/// Which way a packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the side that has the link to the other one.
    Up,
    /// From the other side to the one that has the link.
    Down,
}

impl Direction {
    /// Both directions.
    pub const BOTH: [Self; 2] = [Self::Up, Self::Down];

    /// 0 for up, 1 for down: the place in arrays of both.
    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

/// The state of a link from one moment on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// When it begins, since the start of the plan or of its repetition.
    pub at: Duration,
    /// The conditions: up, down.
    pub conditions: [Conditions; 2],
    /// Whether the side that has the link gets another port now, as behind a NAT that has lost its
    /// table.
    pub rebind: bool,
}

/// The steps of a link, the first at zero, and when they begin again.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub(crate) steps: Vec<Step>,
    pub(crate) repeat: Option<Duration>,
    pub(crate) seed: u64,
}

impl Plan {
    /// One state for the whole time: `up` and `down`. `seed` decides what chance does.
    #[must_use]
    pub fn constant(up: Conditions, down: Conditions, seed: u64) -> Self {
        Self {
            steps: vec![Step {
                at: Duration::ZERO,
                conditions: [up, down],
                rebind: false,
            }],
            repeat: None,
            seed,
        }
    }

    /// The steps in order. The first is at zero.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// After how long the steps begin again.
    #[must_use]
    pub fn repeat(&self) -> Option<Duration> {
        self.repeat
    }

    /// Whether a step gives the side another port.
    #[must_use]
    pub fn rebinds(&self) -> bool {
        self.steps.iter().any(|step| step.rebind)
    }
}
