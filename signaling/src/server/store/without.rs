//! Takes the place of Redis in a program that was built without it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::mpsc;

use crate::server::hub::cluster::messages::{NodeId, StoreCommand};
use crate::server::matchmaker::Holds;
use crate::server::shared::Shared;

/// A store that can never be created.
pub(in crate::server) struct RedisStore(Infallible);

impl RedisStore {
    /// # Errors
    /// Always.
    pub(in crate::server) fn new(
        _url: &str,
        _node: NodeId,
        _holds: Holds,
        _clock: fn() -> SystemTime,
    ) -> Result<Self, String> {
        Err("this server was built without Redis: build it with the feature `redis`".into())
    }
}

/// Never runs.
pub(in crate::server) async fn run(
    store: RedisStore,
    _shared: Arc<Shared>,
    _commands: mpsc::Receiver<StoreCommand>,
) {
    match store.0 {}
}
