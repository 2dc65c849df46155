//! Why a text describes no link.

use super::profiles;

/// Why a text describes no link. Each is a sentence for the person who typed it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkSpecError {
    /// There is nothing in it.
    #[error("give the name of a link or a description, like home-wifi or delay=25ms,loss=5%")]
    Empty,
    /// A word that is no profile, and no `key=value`.
    #[error(
        "`{0}` is neither a known link ({known}) nor a setting like loss=5%",
        known = profiles::names()
    )]
    UnknownName(String),
    /// A name that is not at the beginning.
    #[error("`{0}` describes a whole link, so it must come first")]
    NameNotFirst(String),
    /// A `key=value` with an unknown key.
    #[error("there is no setting `{0}`; the settings are {keys}", keys = crate::spec::KEYS.join(", "))]
    UnknownKey(String),
    /// A value that its key does not take.
    #[error("{key}={value}: {expected}")]
    BadValue {
        /// The setting, as it was typed.
        key: String,
        /// The value, as it was typed.
        value: String,
        /// What is allowed.
        expected: &'static str,
    },
    /// A key with a direction that concerns the whole link.
    #[error("`{0}` concerns both directions: leave out up. or down.")]
    NoDirection(String),
    /// The time of a step is missing or unreadable.
    #[error("`{0}`: a step after the first begins with its time, like @10s loss=20%")]
    BadStep(String),
    /// Steps out of order.
    #[error("the step @{0} does not come after the one before it")]
    StepOrder(String),
    /// Something behind `repeat`.
    #[error("`repeat` must be the only setting of the last step, like ;@30s repeat")]
    RepeatNotLast,
    /// A queue in time without a rate.
    #[error("a queue of {0} needs a rate, like rate=1M,queue={0}; without a rate nothing queues")]
    QueueWithoutRate(String),
    /// A bucket without a policer.
    #[error("`bucket` needs a policer, like policer=512k,bucket=16KB")]
    BucketWithoutPolicer,
    /// A loss that bursts of this length cannot reach.
    #[error("bursts of {burst} packets cannot lose {loss} %: give longer bursts")]
    BurstTooShort {
        /// Mean length, packets.
        burst: String,
        /// Percent.
        loss: String,
    },
}
