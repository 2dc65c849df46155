//! A simulated network for tests and benchmarks, in place of the sockets of both sides. Its links are
//! those of `tandem-link`: rate, delay, queue, loss, jitter, duplication, reordering and outages are
//! chosen, may change during the run, and repeat with the seed.
//!
//! [`Pair`] runs the interceptor chains of two peers over two
//! links in virtual time: a minute of call takes a fraction of a second. (It repeats except for the
//! order in which the chain's hash maps yield streams.) [`SimRuntime`] puts links under real peer
//! connections, in real time.

mod pair;
mod runtime;
mod source;

pub use pair::{Pair, PairConfig, Received, Sample};
pub use runtime::{SimNetwork, SimRuntime};
pub use source::VideoSource;
pub use tandem_link::{Conditions, Link, LinkCounters, Loss, Policer};
