//! What the operator sees and does, by the admin socket.

use serde_json::{Value, json};

use super::Shared;
use crate::message::UserId;
use crate::server::moderation::key::PeerHash;
use crate::server::outbound::CloseReason;

impl Shared {
    /// Ends the calls and connections of everyone who is banned by now. Returns how many clients
    /// those were.
    pub(in crate::server) fn enforce_bans(&self) -> usize {
        let mut ended = 0;
        self.change(|state, now| ended = state.end_banned(now));
        ended
    }

    /// Ends this user's call and connection. False if it is not here.
    pub(in crate::server) fn kick(&self, user: &UserId) -> bool {
        let mut is_here = false;
        self.change(|state, now| {
            if let Some(key) = state.hub.key_of(user) {
                is_here = true;
                tracing::info!(user = %user, "the operator has ended a client");
                state.hub.expel(key, CloseReason::Kicked, None, now);
            }
        });
        is_here
    }

    /// Who this user of this server is to the operator.
    pub(in crate::server) fn peer_of(&self, user: &UserId) -> Option<PeerHash> {
        self.state.lock().hub.peer_of(user)
    }

    /// The clients of this server, by user.
    pub(in crate::server) fn connections(&self) -> Vec<Value> {
        let mut clients = self.state.lock().hub.overview();
        clients.sort_unstable_by(|a, b| a.user.cmp(&b.user));

        clients
            .into_iter()
            .map(|client| {
                json!({
                    "user": client.user,
                    "peer": client.peer,
                    "state": client.state,
                    "session": client.call.map(|(session, _)| session),
                })
            })
            .collect()
    }

    /// The calls with a side on this server, each once.
    pub(in crate::server) fn calls(&self) -> Vec<Value> {
        let clients = self.state.lock().hub.overview();
        let mut calls: Vec<_> = clients
            .into_iter()
            .filter_map(|client| {
                let (session, partner) = client.call?;
                let mut users = [client.user, partner];
                users.sort_unstable();
                Some((session, users))
            })
            .collect();
        calls.sort_unstable();
        calls.dedup();

        calls
            .into_iter()
            .map(|(session, users)| json!({ "session": session, "users": users }))
            .collect()
    }

    /// Asks the program that runs this server to shut it down.
    pub(in crate::server) fn request_stop(&self) {
        // Kept if nobody waits yet.
        self.stop_requested.notify_one();
    }

    /// Waits for [`request_stop`](Self::request_stop).
    pub(in crate::server) async fn stop_requested(&self) {
        self.stop_requested.notified().await;
    }
}
