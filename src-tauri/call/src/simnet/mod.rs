//! A network of our own: links whose rate, delay, queue, loss, jitter, duplication, reordering and outages are chosen,
//! change during the run, and repeat with the seed.
//!
//! [`Link`] is one direction, sans-IO. [`Pair`] runs the interceptor chains of two peers over two links in virtual time: a
//! minute of call in a fraction of a second. (It repeats but for the order in which the chain's hash maps yield streams.)
//! [`SimRuntime`] puts links under real peer connections,
//! in real time.

mod conditions;
mod dice;
mod link;
mod pair;
mod runtime;
mod source;

pub use conditions::{Conditions, Loss};
pub use dice::Dice;
pub use link::{Link, LinkCounters};
pub use pair::{Pair, PairConfig, Received, Sample};
pub use runtime::{SimNetwork, SimRuntime};
pub use source::{AudioSource, VideoSource};
