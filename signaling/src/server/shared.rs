//! What all connections of a relay share: the hub behind its lock, and a way to each client's queue.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::edge::{Edge, Levels};
use super::http::Answer;
use super::hub::{ClientKey, Effect, Hub};
use super::outbound::{CloseReason, Outbound};
use crate::message::ClientEnvelope;

/// What the shell of the relay needs to know.
#[derive(Debug, Clone)]
pub(super) struct ShellConfig {
    /// Between two pings; zero: none.
    pub(super) heartbeat: Duration,
    /// Silent for so long means dead; zero: never.
    pub(super) silent: Duration,
}

/// Shared by the tasks of one relay.
pub(super) struct Shared {
    pub(super) config: ShellConfig,
    pub(super) edge: Arc<Edge>,
    state: Mutex<State>,
    /// The hub's next deadline has changed.
    deadline_moved: Notify,
}

struct State {
    hub: Hub,
    outbounds: HashMap<ClientKey, Arc<Outbound>>,
    draining: bool,
}

impl Shared {
    pub(super) fn new(config: ShellConfig, hub: Hub, edge: Edge) -> Self {
        Self {
            config,
            edge: Arc::new(edge),
            state: Mutex::new(State { hub, outbounds: HashMap::new(), draining: false }),
            deadline_moved: Notify::new(),
        }
    }

    /// Whether new users are taken.
    pub(super) fn readiness(&self) -> Answer {
        match self.is_draining() {
            true => Answer::new(503, "draining"),
            false => Answer::new(200, "ok"),
        }
    }

    /// What `/metrics` shows of the hub.
    pub(super) fn levels(&self) -> Levels {
        let state = self.lock();
        Levels { searching: state.hub.searching(), sessions: state.hub.sessions(), draining: state.draining }
    }

    pub(super) fn is_draining(&self) -> bool {
        self.lock().draining
    }

    /// A new client; its queue holds `user_registered`, or the end if the relay has begun to shut down.
    pub(super) fn register(&self) -> (ClientKey, Arc<Outbound>) {
        let outbound = Arc::new(Outbound::default());
        let mut state = self.lock();
        let key = state.hub.connect();
        state.outbounds.insert(key, outbound.clone());
        state.apply_effects();
        if state.draining {
            outbound.close(CloseReason::Draining);
        }
        (key, outbound)
    }

    /// A client is gone, or as good as gone.
    pub(super) fn forget(&self, key: ClientKey) {
        let mut state = self.lock();
        state.outbounds.remove(&key);
        state.hub.disconnect(key);
        state.apply_effects();
    }

    pub(super) fn receive(&self, key: ClientKey, envelope: ClientEnvelope) {
        let mut state = self.lock();
        let before = state.hub.next_deadline();
        state.hub.receive(key, envelope, Instant::now().into_std());
        state.apply_effects();
        if state.hub.next_deadline() != before {
            self.deadline_moved.notify_one();
        }
    }

    /// Waits for the hub's next deadline. Nothing is lost if the future is dropped before it is ready.
    pub(super) async fn deadline(&self) {
        loop {
            let deadline = self.lock().hub.next_deadline();
            let moved = self.deadline_moved.notified();
            match deadline {
                Some(deadline) => tokio::select! {
                    () = sleep_until(deadline.into()) => return,
                    () = moved => {}
                },
                None => moved.await,
            }
        }
    }

    /// Does what has become due.
    pub(super) fn tick(&self) {
        let mut state = self.lock();
        state.hub.tick(Instant::now().into_std());
        state.apply_effects();
    }

    /// Begins to shut down; see [`Hub::drain`].
    pub(super) fn drain(&self) {
        let mut state = self.lock();
        if !state.draining {
            state.draining = true;
            state.hub.drain();
            state.apply_effects();
        }
    }

    /// Closes all connections.
    pub(super) fn close_all(&self) {
        let mut state = self.lock();
        state.hub.close_all();
        state.apply_effects();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Hands the hub's effects to the queues. A full queue ends its client, which may have effects of its own.
    fn apply_effects(&mut self) {
        while let Some(effect) = self.hub.poll_effect() {
            match effect {
                Effect::Send(key, message) => {
                    let full = self.outbounds.get(&key).is_some_and(|outbound| outbound.push(message).is_err());
                    if full && let Some(outbound) = self.outbounds.remove(&key) {
                        outbound.close(CloseReason::SlowReader);
                        self.hub.disconnect(key);
                    }
                }
                Effect::Close(key, reason) => {
                    if let Some(outbound) = self.outbounds.remove(&key) {
                        outbound.close(reason);
                    }
                }
            }
        }
    }
}
