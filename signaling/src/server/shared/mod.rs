//! What all connections of a server share: the hub behind its lock, and the way to each client's
//! queue.
#![expect(
    clippy::disallowed_methods,
    reason = "a shell: it reads the clock for the hub"
)]

mod operator;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tandem_turn::{Revocation, Runner, TurnControl};
use tokio::sync::{Notify, mpsc};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::message::{ClientEnvelope, RequestId};
use crate::server::client_key::ClientKey;
use crate::server::edge::{self, AddressKey, Edge, Levels, ReportEvent, WebhookEvent};
use crate::server::guest_page::GuestPages;
use crate::server::http::Answer;
use crate::server::hub::cluster::messages::{NodeMessage, StoreCommand, StoreOutcome};
use crate::server::hub::{ClientRole, Effect, Hub};
use crate::server::moderation::key::PeerHash;
use crate::server::moderation::report::{NotRecorded, Report};
use crate::server::outbound::{CloseReason, Outbound};
use crate::server::shrink::ShrinkIfSparse;
use crate::server::turn_test::TurnTest;

/// What the connections need to know.
#[derive(Debug)]
pub(in crate::server) struct ShellConfig {
    /// Between two pings; zero: none.
    pub(in crate::server) heartbeat: Duration,
    /// A connection that is silent for this long is dead; zero: never.
    pub(in crate::server) silent: Duration,
    pub(in crate::server) pages: GuestPages,
    /// The TURN server in this program.
    pub(in crate::server) turn_server: Option<Runner>,
    pub(in crate::server) turn_test: Option<TurnTest>,
}

/// Shared by all tasks of one server.
pub(in crate::server) struct Shared {
    pub(in crate::server) config: ShellConfig,
    pub(in crate::server) edge: Arc<Edge>,
    state: Mutex<State>,
    /// Notified when the hub's next deadline has changed.
    deadline_moved: Notify,
    /// Notified when the operator wants the server to end.
    stop_requested: Notify,
}

struct State {
    hub: Hub,
    edge: Arc<Edge>,
    connections: HashMap<ClientKey, Connection>,
    /// To the task that writes reports to a file.
    reports: mpsc::Sender<PendingReport>,
    reports_to_file: bool,
    /// To the TURN server in this program.
    turn: Option<TurnControl>,
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
pub(in crate::server) struct PendingReport {
    key: ClientKey,
    report: Box<Report>,
    id: Option<RequestId>,
}

/// How often to look for reports past their retention.
const RETENTION_INTERVAL: Duration = Duration::from_secs(3600);
/// Reports that may wait for the disk. Beyond that, a report fails and its sender is notified.
const MAX_PENDING_REPORTS: usize = 1024;

impl Shared {
    /// `store` takes the hub's commands, if there is a shared store. The receiver is for
    /// [`record_reports`](Self::record_reports).
    pub(in crate::server) fn new(
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
            reports_to_file: edge.moderation.reports.is_some(),
            turn: config.turn_server.as_ref().map(Runner::control),
            store,
            failed_commands: Vec::new(),
            draining: false,
        };

        let shared = Self {
            config,
            edge,
            state: Mutex::new(state),
            deadline_moved: Notify::new(),
            stop_requested: Notify::new(),
        };
        (shared, pending)
    }

    /// The answer to `/readyz`: whether the server takes new users.
    pub(in crate::server) fn readiness(&self) -> Answer {
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
    pub(in crate::server) fn levels(&self) -> Levels {
        let state = self.state.lock();
        Levels {
            searching: state.hub.searching(),
            sessions: state.hub.sessions(),
            bans: self.edge.moderation.ban_count(),
            draining: state.draining,
            turn: self.config.turn_server.as_ref().map(Runner::stats),
        }
    }

    pub(in crate::server) fn is_draining(&self) -> bool {
        self.state.lock().draining
    }

    /// Adds a client for a new connection. Its queue holds `user_registered`, and is closed if the
    /// server has begun to shut down.
    pub(in crate::server) fn register(
        &self,
        subject: Option<String>,
        role: ClientRole,
        address: AddressKey,
        is_private: bool,
        peer: PeerHash,
    ) -> (ClientKey, Arc<Outbound>) {
        let outbound = Arc::new(Outbound::default());
        let mut state = self.state.lock();
        let key = state.hub.connect(subject, role, Some(peer));
        if is_private {
            state.hub.set_private(key);
        }

        let connection = Connection {
            outbound: outbound.clone(),
            address,
        };
        state.connections.insert(key, connection);

        // A ban may have come since the client was let in. One that comes from now on finds it.
        if let Err(fault) = self.edge.moderation.check(peer) {
            let now = Instant::now().into_std();
            state.hub.expel(key, CloseReason::Banned, Some(&fault), now);
        }

        state.apply_effects();

        if state.draining {
            outbound.close(CloseReason::Draining);
        }

        (key, outbound)
    }

    /// Reads the files again, and ends the calls and connections of those who are on the ban list
    /// now.
    pub(in crate::server) fn reload(&self) {
        self.edge.reload();
        self.reopen_reports();
        if !self.edge.has_ban_list() {
            return;
        }

        let banned = self.edge.newly_banned();
        self.change(|state, now| {
            for key in banned {
                let fault = edge::banned();
                state.hub.expel(key, CloseReason::Banned, Some(&fault), now);
            }
        });
    }

    /// Opens the file of reports again, in the background: all of it is read.
    fn reopen_reports(&self) {
        let edge = self.edge.clone();
        spawn_blocking(move || {
            let Some(reports) = &edge.moderation.reports else {
                return;
            };
            match reports.reopen() {
                Ok(()) => tracing::info!(what = "reports", "reloaded"),
                Err(error) => tracing::error!(
                    what = "reports",
                    kind = %error.kind(),
                    "cannot reload: the old one stays in force"
                ),
            }
        });
    }

    /// A client's connection is gone, or about to be closed. The client may resume on another one.
    /// Further calls for the same key do nothing.
    pub(in crate::server) fn disconnect(&self, key: ClientKey) {
        self.change(|state, now| {
            state.take_outbound(key);
            state.hub.disconnect(key, now);
        });
    }

    pub(in crate::server) fn receive(&self, key: ClientKey, envelope: ClientEnvelope) {
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

    /// Writes reports and bans to their files, and deletes old reports, until the server ends.
    pub(in crate::server) async fn record_reports(
        &self,
        mut reports: mpsc::Receiver<PendingReport>,
    ) {
        let mut clean_up = interval(RETENTION_INTERVAL);
        clean_up.set_missed_tick_behavior(MissedTickBehavior::Delay);

        loop {
            tokio::select! {
                _ = clean_up.tick() => self.delete_old_reports().await,
                () = self.edge.moderation.bans_changed() => self.save_bans().await,
                report = reports.recv() => match report {
                    Some(report) => self.record(report).await,
                    None => return self.save_bans().await,
                },
            }
        }
    }

    /// Takes no further reports: [`record_reports`](Self::record_reports) ends when it has written
    /// those that wait.
    pub(in crate::server) fn close_reports(&self) {
        let (closed, _) = mpsc::channel(1);
        self.state.lock().reports = closed;
    }

    async fn record(&self, PendingReport { key, report, id }: PendingReport) {
        let (edge, report_id) = (self.edge.clone(), report.report_id.clone());

        // Off the runtime's threads: a disk can be slow.
        let written = spawn_blocking(move || {
            let written = edge.moderation.record(&report)?;
            Ok((written, report))
        })
        .await
        .map_err(io::Error::other)
        .flatten();

        let recorded = written.map_err(|error| {
            tracing::error!(
                kind = %error.kind(),
                "cannot record a report, and has told its sender: make room, or look at the disk"
            );

            match error.kind() {
                io::ErrorKind::StorageFull
                | io::ErrorKind::QuotaExceeded
                | io::ErrorKind::FileTooLarge => NotRecorded::Full,
                _ => NotRecorded::Failed,
            }
        });
        if let Ok((written, report)) = &recorded {
            self.edge.metrics.report(match written.is_update {
                true => ReportEvent::Updated,
                false => ReportEvent::Recorded,
            });
            self.change(|state, now| state.recorded(report, written.is_update, now));
        } else {
            self.edge.metrics.report(ReportEvent::Failed);
        }

        let recorded = recorded.map(|_| ());
        self.change(|state, _| state.hub.report_recorded(key, report_id, recorded, id));
    }

    /// Writes the bans to their file, if there is one. An error goes to the log.
    pub(in crate::server) async fn save_bans(&self) {
        let edge = self.edge.clone();
        let saved = spawn_blocking(move || edge.moderation.save_bans())
            .await
            .map_err(io::Error::other)
            .flatten();

        if let Err(error) = saved {
            tracing::error!(
                kind = %error.kind(),
                "cannot save the bans: they hold until the server stops"
            );
        }
    }

    async fn delete_old_reports(&self) {
        let edge = self.edge.clone();
        let delete = move || {
            edge.moderation.delete_leftovers();
            edge.moderation.delete_old_reports()
        };
        let deleted = spawn_blocking(delete)
            .await
            .map_err(io::Error::other)
            .flatten();

        match deleted {
            Ok(0) => {}
            Ok(reports) => tracing::info!(reports, "deleted reports past their retention"),
            Err(error) => tracing::error!(kind = %error.kind(), "cannot delete old reports"),
        }
    }

    /// The shared store can be reached from now on, or no longer.
    #[cfg_attr(
        not(feature = "redis"),
        expect(dead_code, reason = "only with Redis is there a store")
    )]
    pub(in crate::server) fn set_store_available(&self, available: bool) {
        self.change(|state, now| state.hub.set_store_available(available, now));
    }

    /// Hands messages of other nodes and outcomes of commands to the hub, in order.
    #[cfg_attr(
        not(feature = "redis"),
        expect(dead_code, reason = "only with Redis is there a store")
    )]
    pub(in crate::server) fn receive_from_store(
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
    pub(in crate::server) async fn deadline(&self) {
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
    pub(in crate::server) fn tick(&self) {
        let mut state = self.state.lock();
        state.hub.tick(Instant::now().into_std());
        state.apply_effects();
    }

    /// Begins to shut down; see [`Hub::drain`].
    pub(in crate::server) fn drain(&self) {
        let mut state = self.state.lock();
        if !state.draining {
            state.draining = true;
            state.hub.drain(Instant::now().into_std());
            state.apply_effects();
        }
    }

    /// Closes all connections.
    pub(in crate::server) fn close_all(&self) {
        let mut state = self.state.lock();
        state.hub.close_all();
        state.apply_effects();
    }

    /// Lets the store's task end, once it has carried out the commands it has.
    pub(in crate::server) fn close_store(&self) {
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
                Effect::Recorded(report, written) => {
                    self.recorded(&report, written.is_update, Instant::now().into_std());
                }
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
                Effect::Revoke(revocation) => self.revoke(revocation),
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

    fn revoke(&self, revocation: Revocation) {
        if let Some(turn) = &self.turn
            && turn.revoke(revocation).is_err()
        {
            tracing::error!(
                "the TURN server does not keep up: the media of a call that is over may go on"
            );
        }
    }

    /// Ends the calls and connections of everyone who is banned by now. Returns how many clients
    /// those were.
    fn end_banned(&mut self, now: std::time::Instant) -> usize {
        let moderation = &self.edge.moderation;
        let banned = self.hub.clients_where(|peer| moderation.check(peer).err());
        let count = banned.len();
        for (key, fault) in banned {
            self.hub.expel(key, CloseReason::Banned, Some(&fault), now);
        }

        count
    }

    /// Tells the webhook of a new report, and bans the one that was reported if the rule for repeated
    /// reports says so.
    fn recorded(&mut self, report: &Report, is_update: bool, now: std::time::Instant) {
        if !is_update && !self.edge.moderation.notify(report) {
            self.edge.metrics.webhook(WebhookEvent::Dropped);
            tracing::error!("too many reports wait for the webhook: it is not told of one");
        }

        // An update is by the same person, even if it comes from another network.
        let count = |report| self.edge.moderation.count_report(report);
        if let Some(peer) = (!is_update).then_some(report).and_then(count) {
            self.edge.metrics.restricted.inc();
            tracing::warn!(%peer, "banned a client for a time: several others have reported it");
            self.end_banned(now);
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
            let failed = Err(NotRecorded::Failed);
            self.hub.report_recorded(key, report_id, failed, id);
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
