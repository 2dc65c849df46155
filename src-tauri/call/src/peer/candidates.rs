//! The partner's candidates on their way to the ICE agent.
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use webrtc::peer_connection::{PeerConnection, RTCIceCandidateInit};
use webrtc::runtime::Runtime;

use super::checks::{CandidateQueue, Gate, NamesLeft};
use super::privacy::Disclosure;
use super::workarounds::{RemoteCandidates, address_and_type};

/// Gives the ICE agent the partner's candidates as the [`CandidateQueue`] says.
pub(super) struct Candidates {
    connection: Arc<dyn PeerConnection>,
    runtime: Arc<dyn Runtime>,
    state: Mutex<State>,
    known: RemoteCandidates,
    /// Which of them may be checked.
    disclosure: Disclosure,
    /// Wants to know which of them belong to TURN servers.
    gate: Arc<Mutex<Gate>>,
}

struct State {
    queue: CandidateQueue<RTCIceCandidateInit>,
    /// `a=ice-ufrag` of the description that they belong to (RFC 8839 §5.4).
    ufrag: String,
    /// The partner has given one.
    has_any: bool,
    /// A task waits for the next one's turn.
    is_waiting: bool,
}

impl Candidates {
    /// None yet, for `connection` on `runtime`.
    pub(super) fn new(
        connection: Arc<dyn PeerConnection>,
        runtime: Arc<dyn Runtime>,
        disclosure: Disclosure,
        gate: Arc<Mutex<Gate>>,
        names_left: NamesLeft,
    ) -> Arc<Self> {
        let state = State {
            queue: CandidateQueue::new(names_left),
            ufrag: String::new(),
            has_any: false,
            is_waiting: false,
        };

        Arc::new(Self {
            connection,
            runtime,
            state: Mutex::new(state),
            known: RemoteCandidates::default(),
            disclosure,
            gate,
        })
    }

    /// Whether a description with this `a=ice-ufrag` restarts ICE.
    pub(super) fn is_restart(&self, ufrag: &str) -> bool {
        let state = self.state.lock();
        !state.ufrag.is_empty() && state.ufrag != ufrag
    }

    /// The partner's description has been applied; `inside` are the candidates that it had.
    pub(super) async fn on_description(
        self: &Arc<Self>,
        ufrag: &str,
        inside: Vec<RTCIceCandidateInit>,
    ) {
        {
            let mut state = self.state.lock();
            if state.ufrag != ufrag {
                ufrag.clone_into(&mut state.ufrag);
                state.queue.clear();
                self.known.on_restart();
            }
        }

        for candidate in inside {
            self.add(candidate).await;
        }
    }

    /// Adds a candidate, unless it must not be checked. Returns `false` if it cannot be checked, or
    /// there are too many.
    pub(super) async fn add(self: &Arc<Self>, candidate: RTCIceCandidateInit) -> bool {
        let line = candidate.candidate.clone();
        self.state.lock().has_any = true;
        if !self.disclosure.may_check_candidate(&line) {
            return true;
        }

        // At once: its turn comes last, and the partner may check from there before.
        if let Some((address, "relay")) = address_and_type(&line) {
            self.gate.lock().on_relay_candidate(address);
        }

        let is_kept = self.state.lock().queue.add(&line, candidate);
        self.hand_over().await;
        self.wait();
        is_kept
    }

    /// Whether the partner has described itself, and given no candidate.
    pub(super) fn is_empty(&self) -> bool {
        let state = self.state.lock();
        !state.ufrag.is_empty() && !state.has_any
    }

    /// The type that the partner gave for an address.
    pub(super) fn type_of(&self, address: &str, port: u16) -> Option<&'static str> {
        self.known.type_of(address, port)
    }

    /// Gives the agent every candidate whose turn it is.
    async fn hand_over(&self) {
        loop {
            let next = self.state.lock().queue.take(self.runtime.now());
            let Some(candidate) = next else {
                return;
            };

            self.known.add(&candidate.candidate);
            if let Err(error) = self.connection.add_ice_candidate(candidate).await {
                tracing::debug!(%error, "the connection refused a candidate");
            }
        }
    }

    /// Waits for the next turn, if nothing waits already.
    fn wait(self: &Arc<Self>) {
        {
            let mut state = self.state.lock();
            if state.is_waiting || state.queue.due().is_none() {
                return;
            }

            state.is_waiting = true;
        }

        let (this, runtime) = (Arc::downgrade(self), Arc::clone(&self.runtime));
        self.runtime.spawn(Box::pin(async move {
            while let Some(due) = this.upgrade().and_then(|this| this.next_turn()) {
                runtime
                    .sleep(due.saturating_duration_since(runtime.now()))
                    .await;
                if let Some(this) = this.upgrade() {
                    this.hand_over().await;
                }
            }
        }));
    }

    /// When the next turn is. Without one, waiting ends.
    fn next_turn(&self) -> Option<Instant> {
        let mut state = self.state.lock();
        let due = state.queue.due();
        state.is_waiting = due.is_some();
        due
    }
}
