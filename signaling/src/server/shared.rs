//! What all connections of a server share: the hub behind its lock, and the way to each client's
//! queue.
#![expect(
    clippy::disallowed_methods,
    reason = "a shell: it reads the clock for the hub"
)]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tandem_turn::Runner;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until};

use super::client_key::ClientKey;
use super::edge::reports::Report;
use super::edge::{AddressKey, Edge, Levels};
use super::guest_page::GuestPages;
use super::http::Answer;
use super::hub::cluster::messages::{NodeMessage, StoreCommand, StoreOutcome};
use super::hub::{ClientRole, Effect, Hub};
use super::outbound::{CloseReason, Outbound};
use super::shrink::ShrinkIfSparse;
use super::turn_test::TurnTest;
use crate::message::{ClientEnvelope, RequestId};

/// What the connections need to know.
#[derive(Debug)]
pub(super) struct ShellConfig {
    /// Between two pings; zero: none.
    pub(super) heartbeat: Duration,
    /// A connection that is silent for this long is dead; zero: never.
    pub(super) silent: Duration,
    pub(super) pages: GuestPages,
    /// The TURN server in this program.
    pub(super) turn_server: Option<Runner>,
    pub(super) turn_test: Option<TurnTest>,
}

/// Shared by all tasks of one server.
pub(super) struct Shared {
    pub(super) config: ShellConfig,
    pub(super) edge: Arc<Edge>,
    state: Mutex<State>,
    /// Notified when the hub's next deadline has changed.
    deadline_moved: Notify,
}

struct State {
    hub: Hub,
    edge: Arc<Edge>,
    connections: HashMap<ClientKey, Connection>,
    /// To the task that writes reports to a file.
    reports: mpsc::Sender<PendingReport>,
    reports_to_file: bool,
    /// To the task that talks to the shared store.
    store: Option<mpsc::Sender<StoreCommand>>,
    /// Outcomes of commands that could not be passed to that task, for the hub.
    failed_commands: Vec<StoreOutcome>,
    draining: bool,
}

/// What the hub's effects reach of a connection.
struct Connection {
    /// The messages that wait for it.
    outbound: Arc<Outbound>,
    /// Where it came from.
    address: AddressKey,
}

/// A report to record, and the client that gets the answer.
pub(super) struct PendingReport {
    key: ClientKey,
    report: Box<Report>,
    id: Option<RequestId>,
}

/// Reports that may wait for the disk. Beyond that, a report fails and its sender is notified.
const MAX_PENDING_REPORTS: usize = 1024;

impl Shared {
    /// `store` takes the hub's commands, if there is a shared store. The receiver is for
    /// [`record_reports`](Self::record_reports).
    pub(super) fn new(
        config: ShellConfig,
        hub: Hub,
        edge: Edge,
        store: Option<mpsc::Sender<StoreCommand>>,
    ) -> (Self, mpsc::Receiver<PendingReport>) {
        let (reports, pending) = mpsc::channel(MAX_PENDING_REPORTS);
        let edge = Arc::new(edge);
        let state = State {
            hub,
            edge: edge.clone(),
            connections: HashMap::new(),
            reports,
            reports_to_file: edge.reports.is_some(),
            store,
            failed_commands: Vec::new(),
            draining: false,
        };

        let shared = Self {
            config,
            edge,
            state: Mutex::new(state),
            deadline_moved: Notify::new(),
        };
        (shared, pending)
    }

    /// The answer to `/readyz`: whether the server takes new users.
    pub(super) fn readiness(&self) -> Answer {
        let state = self.state.lock();

        if state.draining {
            Answer::new(503, "draining")
        } else if !state.hub.has_store() {
            Answer::new(503, "the shared store is away")
        } else {
            Answer::new(200, "ok")
        }
    }

    /// What `/metrics` shows of the hub.
    pub(super) fn levels(&self) -> Levels {
        let state = self.state.lock();
        Levels {
            searching: state.hub.searching(),
            sessions: state.hub.sessions(),
            draining: state.draining,
            turn: self.config.turn_server.as_ref().map(Runner::stats),
        }
    }

    pub(super) fn is_draining(&self) -> bool {
        self.state.lock().draining
    }

    /// Adds a client for a new connection. Its queue holds `user_registered`, and is closed if the
    /// server has begun to shut down.
    pub(super) fn register(
        &self,
        subject: Option<String>,
        role: ClientRole,
        address: AddressKey,
    ) -> (ClientKey, Arc<Outbound>) {
        let outbound = Arc::new(Outbound::default());
        let mut state = self.state.lock();
        let key = state.hub.connect(subject, role);
        let connection = Connection {
            outbound: outbound.clone(),
            address,
        };
        state.connections.insert(key, connection);
        state.apply_effects();

        if state.draining {
            outbound.close(CloseReason::Draining);
        }

        (key, outbound)
    }

    /// A client's connection is gone, or about to be closed. The client may resume on another one.
    /// Further calls for the same key do nothing.
    pub(super) fn disconnect(&self, key: ClientKey) {
        self.change(|state, now| {
            state.take_outbound(key);
            state.hub.disconnect(key, now);
        });
    }

    pub(super) fn receive(&self, key: ClientKey, envelope: ClientEnvelope) {
        self.change(|state, now| state.hub.receive(key, envelope, now));
    }

    /// Changes the hub, carries out the effects, and wakes [`deadline`](Self::deadline) if needed.
    fn change(&self, change: impl FnOnce(&mut State, std::time::Instant)) {
        let mut state = self.state.lock();
        let before = state.hub.next_deadline();
        change(&mut state, Instant::now().into_std());
        state.apply_effects();

        if state.hub.next_deadline() != before {
            self.deadline_moved.notify_one();
        }
    }

    /// Writes reports to the file until the server ends.
    pub(super) async fn record_reports(&self, mut reports: mpsc::Receiver<PendingReport>) {
        while let Some(PendingReport { key, report, id }) = reports.recv().await {
            let (edge, report_id) = (self.edge.clone(), report.report_id.clone());

            // Off the runtime's threads: a disk can be slow.
            let written = tokio::task::spawn_blocking(move || match &edge.reports {
                Some(file) => file.append(&report),
                None => Ok(()),
            })
            .await
            .map_err(std::io::Error::other)
            .flatten();

            if let Err(error) = &written {
                tracing::error!(
                    kind = %error.kind(),
                    "cannot write a report: its sender was asked to try again"
                );
            }

            let recorded = written.is_ok();
            self.change(|state, _| state.hub.report_recorded(key, report_id, recorded, id));
        }
    }

    /// The shared store can be reached from now on, or no longer.
    #[cfg_attr(
        not(feature = "redis"),
        expect(dead_code, reason = "only with Redis is there a store")
    )]
    pub(super) fn set_store_available(&self, available: bool) {
        self.change(|state, now| state.hub.set_store_available(available, now));
    }

    /// Hands messages of other nodes and outcomes of commands to the hub, in order.
    #[cfg_attr(
        not(feature = "redis"),
        expect(dead_code, reason = "only with Redis is there a store")
    )]
    pub(super) fn receive_from_store(
        &self,
        messages: impl IntoIterator<Item = NodeMessage>,
        outcomes: impl IntoIterator<Item = StoreOutcome>,
    ) {
        self.change(|state, now| {
            for message in messages {
                state.hub.receive_from_node(message, now);
            }

            for outcome in outcomes {
                state.hub.receive_outcome(outcome, now);
            }
        });
    }

    /// Waits for the hub's next deadline. Safe to drop and call again.
    pub(super) async fn deadline(&self) {
        loop {
            let deadline = self.state.lock().hub.next_deadline();
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

    /// Has the hub do what is due.
    pub(super) fn tick(&self) {
        let mut state = self.state.lock();
        state.hub.tick(Instant::now().into_std());
        state.apply_effects();
    }

    /// Begins to shut down; see [`Hub::drain`].
    pub(super) fn drain(&self) {
        let mut state = self.state.lock();
        if !state.draining {
            state.draining = true;
            state.hub.drain(Instant::now().into_std());
            state.apply_effects();
        }
    }

    /// Closes all connections.
    pub(super) fn close_all(&self) {
        let mut state = self.state.lock();
        state.hub.close_all();
        state.apply_effects();
    }

    /// Lets the store's task end, once it has carried out the commands it has.
    pub(super) fn close_store(&self) {
        self.state.lock().store = None;
    }
}

impl State {
    fn take_outbound(&mut self, key: ClientKey) -> Option<Arc<Outbound>> {
        let connection = self.connections.remove(&key);
        self.connections.shrink_if_sparse();
        connection.map(|connection| connection.outbound)
    }

    /// Carries out the hub's effects. Failing to carry one out (a full queue, a store that takes no
    /// command) changes the hub again, which may have further effects.
    fn apply_effects(&mut self) {
        while let Some(effect) = self.hub.poll_effect() {
            match effect {
                Effect::Send(key, message) => {
                    let is_full = self
                        .connections
                        .get(&key)
                        .is_some_and(|to| to.outbound.push(message).is_err());

                    if is_full && let Some(outbound) = self.take_outbound(key) {
                        outbound.close(CloseReason::SlowReader);
                        self.hub.disconnect(key, Instant::now().into_std());
                    }
                }
                Effect::Report(key, report, id) => self.record_report(key, report, id),
                Effect::Store(command) => {
                    if let Some(store) = &self.store {
                        self.failed_commands.extend(send(store, command));
                    }
                }
                Effect::RoomFound(key) => {
                    if let Some(connection) = self.connections.get(&key) {
                        self.edge.give_back_guess(connection.address);
                    }
                }
                Effect::Knock(event) => self.edge.metrics.knock(event),
                Effect::Close(key, reason) => {
                    if let Some(outbound) = self.take_outbound(key) {
                        outbound.close(reason);
                    }
                }
            }

            for outcome in std::mem::take(&mut self.failed_commands) {
                self.hub.receive_outcome(outcome, Instant::now().into_std());
            }
        }
    }

    /// Queues a report for the file, or, without one, for the store.
    fn record_report(&mut self, key: ClientKey, report: Box<Report>, id: Option<RequestId>) {
        if let Some(store) = self.store.as_ref().filter(|_| !self.reports_to_file) {
            let command = StoreCommand::Report { key, report, id };
            self.failed_commands.extend(send(store, command));
            return;
        }

        let report_id = report.report_id.clone();
        let pending = PendingReport {
            key,
            report,
            id: id.clone(),
        };

        if self.reports.try_send(pending).is_err() {
            self.hub.report_recorded(key, report_id, false, id);
        }
    }
}

/// Hands a command to the store's task. If that is full or gone, returns the command's failure.
fn send(store: &mpsc::Sender<StoreCommand>, command: StoreCommand) -> Option<StoreOutcome> {
    use mpsc::error::TrySendError::{Closed, Full};

    match store.try_send(command) {
        Ok(()) => None,
        Err(Full(command) | Closed(command)) => command.failed(),
    }
}
