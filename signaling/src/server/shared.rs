//! What all connections of a relay share: the hub behind its lock, and a way to each client's queue.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until};

use super::edge::reports::Report;
use super::edge::{Edge, Levels};
use super::http::Answer;
use super::hub::{ClientKey, Effect, Hub};
use super::outbound::{CloseReason, Outbound};
use super::store::note::{Command, Note, Outcome};
use super::tighten::Tighten;
use crate::message::{ClientEnvelope, RequestId};

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
    /// To the task that records reports.
    reports: mpsc::Sender<PendingReport>,
    reports_to_file: bool,
    /// To the task that speaks with the shared store.
    store: Option<mpsc::Sender<Command>>,
    unsent: Vec<Outcome>,
    draining: bool,
}

/// A report that is to be recorded, and who waits for that.
pub(super) struct PendingReport {
    key: ClientKey,
    report: Box<Report>,
    id: Option<RequestId>,
}

/// So many reports wait for the disk.
const PENDING_REPORTS: usize = 1024;

impl Shared {
    /// `store` takes the hub's commands, if it has a shared store. The receiver is for
    /// [`record_reports`](Self::record_reports).
    pub(super) fn new(
        config: ShellConfig,
        hub: Hub,
        edge: Edge,
        store: Option<mpsc::Sender<Command>>,
    ) -> (Self, mpsc::Receiver<PendingReport>) {
        let (reports, pending) = mpsc::channel(PENDING_REPORTS);
        let state = State {
            hub,
            outbounds: HashMap::new(),
            reports,
            reports_to_file: edge.reports.is_some(),
            store,
            unsent: Vec::new(),
            draining: false,
        };

        let state = Mutex::new(state);
        (
            Self {
                config,
                edge: Arc::new(edge),
                state,
                deadline_moved: Notify::new(),
            },
            pending,
        )
    }

    /// Whether new users are taken.
    pub(super) fn readiness(&self) -> Answer {
        let state = self.lock();
        match (state.draining, state.hub.has_store()) {
            (true, _) => Answer::new(503, "draining"),
            (false, false) => Answer::new(503, "the shared store is away"),
            (false, true) => Answer::new(200, "ok"),
        }
    }

    /// What `/metrics` shows of the hub.
    pub(super) fn levels(&self) -> Levels {
        let state = self.lock();
        Levels {
            searching: state.hub.searching(),
            sessions: state.hub.sessions(),
            draining: state.draining,
        }
    }

    pub(super) fn is_draining(&self) -> bool {
        self.lock().draining
    }

    /// A new client; its queue holds `user_registered`, or the end if the relay has begun to shut down.
    pub(super) fn register(&self, subject: Option<String>) -> (ClientKey, Arc<Outbound>) {
        let outbound = Arc::new(Outbound::default());
        let mut state = self.lock();
        let key = state.hub.connect(subject);
        state.outbounds.insert(key, outbound.clone());
        state.apply_effects();

        if state.draining {
            outbound.close(CloseReason::Draining);
        }

        (key, outbound)
    }

    /// A client is gone, or as good as gone; it may come back on another connection.
    pub(super) fn forget(&self, key: ClientKey) {
        self.change(|state, now| {
            state.take_outbound(key);
            state.hub.disconnect(key, now);
        });
    }

    pub(super) fn receive(self: &Arc<Self>, key: ClientKey, envelope: ClientEnvelope) {
        self.change(|state, now| state.hub.receive(key, envelope, now));
    }

    /// Does something to the hub and what follows from it.
    fn change(&self, change: impl FnOnce(&mut State, std::time::Instant)) {
        let mut state = self.lock();
        let before = state.hub.next_deadline();
        change(&mut state, Instant::now().into_std());
        state.apply_effects();

        if state.hub.next_deadline() != before {
            self.deadline_moved.notify_one();
        }
    }

    /// Records reports until the relay ends.
    pub(super) async fn record_reports(&self, mut reports: mpsc::Receiver<PendingReport>) {
        while let Some(PendingReport { key, report, id }) = reports.recv().await {
            let (edge, report_id) = (self.edge.clone(), report.report_id.clone());
            // The disk may take its time.
            let written = tokio::task::spawn_blocking(move || match &edge.reports {
                Some(file) => file.append(&report).inspect_err(|error| {
                    tracing::error!(kind = %error.kind(), "a report could not be written");
                }),
                None => Ok(()),
            });

            let recorded = matches!(written.await, Ok(Ok(())));
            self.change(|state, _| state.hub.report_recorded(key, report_id, recorded, id));
        }
    }

    /// The shared store is there, or away.
    #[cfg_attr(
        not(feature = "redis"),
        expect(dead_code, reason = "only Redis has something to say")
    )]
    pub(super) fn store_is(&self, available: bool) {
        self.change(|state, now| state.hub.store_is(available, now));
    }

    /// Notes of other nodes and outcomes of commands, in order.
    #[cfg_attr(
        not(feature = "redis"),
        expect(dead_code, reason = "only Redis has something to say")
    )]
    pub(super) fn heard(
        &self,
        notes: impl IntoIterator<Item = Note>,
        outcomes: impl IntoIterator<Item = Outcome>,
    ) {
        self.change(|state, now| {
            for note in notes {
                state.hub.note(note, now);
            }

            for outcome in outcomes {
                state.hub.outcome(outcome, now);
            }
        });
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
            state.hub.drain(Instant::now().into_std());
            state.apply_effects();
        }
    }

    /// Closes all connections.
    pub(super) fn close_all(&self) {
        let mut state = self.lock();
        state.hub.close_all();
        state.apply_effects();
    }

    /// No more commands: the store's task does what it has and ends.
    pub(super) fn close_store(&self) {
        self.lock().store = None;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take_outbound(&mut self, key: ClientKey) -> Option<Arc<Outbound>> {
        let outbound = self.outbounds.remove(&key);
        self.outbounds.tighten();
        outbound
    }

    /// Hands the hub's effects to the queues. A full queue ends its client, which may have effects of its own.
    fn apply_effects(&mut self) {
        while let Some(effect) = self.hub.poll_effect() {
            match effect {
                Effect::Send(key, message) => {
                    let full = self
                        .outbounds
                        .get(&key)
                        .is_some_and(|outbound| outbound.push(message).is_err());

                    if full && let Some(outbound) = self.take_outbound(key) {
                        outbound.close(CloseReason::SlowReader);
                        self.hub.disconnect(key, Instant::now().into_std());
                    }
                }
                Effect::Report(key, report, id) => {
                    let report_id = report.report_id.clone();
                    if let Some(store) = self.store.as_ref().filter(|_| !self.reports_to_file) {
                        let command = Command::Report { key, report, id };
                        self.unsent.extend(send(store, command));
                    } else if self
                        .reports
                        .try_send(PendingReport {
                            key,
                            report,
                            id: id.clone(),
                        })
                        .is_err()
                    {
                        self.hub.report_recorded(key, report_id, false, id);
                    }
                }
                Effect::Store(command) => {
                    if let Some(store) = &self.store {
                        self.unsent.extend(send(store, command));
                    }
                }
                Effect::Close(key, reason) => {
                    if let Some(outbound) = self.take_outbound(key) {
                        outbound.close(reason);
                    }
                }
            }

            // What the store cannot take has failed; its consequences are effects, too.
            for outcome in std::mem::take(&mut self.unsent) {
                self.hub.outcome(outcome, Instant::now().into_std());
            }
        }
    }
}

/// Hands a command to the store's task; what follows at once if it is full or gone.
fn send(store: &mpsc::Sender<Command>, command: Command) -> Option<Outcome> {
    use mpsc::error::TrySendError::{Closed, Full};
    match store.try_send(command) {
        Ok(()) => None,
        Err(Full(command) | Closed(command)) => command.failed(),
    }
}
