//! In the place of Redis where this program was built without it.

use std::convert::Infallible;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::note::{Command, NodeId};
use crate::server::matchmaker::Holds;
use crate::server::shared::Shared;

/// A store that cannot be.
pub(in crate::server) struct RedisStore(Infallible);

impl RedisStore {
    /// # Errors
    /// Always.
    pub(in crate::server) fn new(_url: &str, _node: NodeId, _holds: Holds) -> Result<Self, String> {
        Err("this relay was built without Redis: build it with the feature `redis`".into())
    }
}

/// Never runs.
pub(in crate::server) async fn run(
    store: RedisStore,
    _shared: Arc<Shared>,
    _commands: mpsc::Receiver<Command>,
) {
    match store.0 {}
}
