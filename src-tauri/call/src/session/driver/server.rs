//! What the signaling server says: how it registered this client, what it relays, and when it is out of
//! reach.
#![expect(
    clippy::disallowed_methods,
    reason = "a shell: it stamps what arrives with the time"
)]

use std::time::{Duration, Instant};

use tandem_signaling::client::{ClientErrorCode, ClientEvent};
use tandem_signaling::message::{Capability, ServerMessage, UserRegistered};

use super::Driver;
use crate::machine::{EndCode, Input};
use crate::session::{BlockOutcome, CallEventKind, ReportOutcome, signaling, trouble};

impl Driver {
    pub(super) async fn on_signaling(&mut self, event: ClientEvent) {
        match event {
            ClientEvent::Resumed {
                registered,
                missed,
                session_id,
            } => {
                tracing::debug!(missed, "the signaling server resumed this client");
                self.server
                    .ice_servers
                    .on_registered(Instant::now(), &registered.ice_servers);
                self.server.error = None;

                self.feed(Input::SignalingResumed {
                    session_id: session_id.map(|id| id.as_str().into()),
                });
            }
            ClientEvent::Connected(registered) => {
                self.on_registered(Instant::now(), &registered);
            }
            ClientEvent::Message(message) => self.on_message(message).await,
            ClientEvent::Garbage(garbage) => {
                tracing::debug!(%garbage, "unreadable message from the signaling server: ignored");
            }
            ClientEvent::Disconnected { error, retry_in } => {
                let code = error.code();
                // A connection that is refused ends no call: that goes on without the server.
                let was_registered = self.machine.is_registered();
                self.server.error = Some(error);
                self.server.ice_servers.on_signaling_lost();

                self.feed(match retry_in {
                    Some(_) => Input::SignalingDown,
                    None if code.is_refusal() => Input::SignalingRefused(EndCode::RelayRefused),
                    None => Input::SignalingRefused(EndCode::RelayUnreachable),
                });

                match code {
                    ClientErrorCode::Banned if was_registered => {
                        self.feed(Input::Expelled(EndCode::Banned));
                    }
                    ClientErrorCode::Kicked if was_registered => {
                        self.feed(Input::Expelled(EndCode::Kicked));
                    }
                    _ => {}
                }
            }
            ClientEvent::Closed => self.on_signaling_down(),
        }
    }

    /// The server registered this client at `at` as a new one.
    pub(super) fn on_registered(&mut self, at: Instant, registered: &UserRegistered) {
        self.server
            .ice_servers
            .on_registered(at, &registered.ice_servers);
        self.server.error = None;

        if !std::mem::replace(&mut self.server.has_registered, true) {
            self.report(CallEventKind::Registered);
        }

        if let Some(code) = self.missing_server_for_anyone() {
            self.feed(Input::MissingServer(code));
        }

        if self.options.room_must_exist && !registered.can(Capability::ClaimRoom) {
            // An older server would let this client wait in an empty room.
            self.feed(Input::SearchEnded(EndCode::NoSuchRoom));
        }

        self.feed(Input::SignalingUp);
    }

    async fn on_message(&mut self, message: ServerMessage) {
        if let ServerMessage::PartnerFound(found) = &message {
            self.matched.user = Some(found.partner_id.clone());
            self.matched.profile = signaling::profile(found);
            self.matched.interests.clone_from(&found.interests);
            self.matched.both_private = found.both_private;
            if let Some(servers) = &found.ice_servers {
                let ttl = found.ice_servers_ttl.map(Duration::from_secs);
                let known = &mut self.server.ice_servers;
                known.on_matched(Instant::now(), servers, ttl);
            }
        }

        if let ServerMessage::IceCandidate(relayed) = &message
            && let Some(word) = trouble::word_in(relayed.candidate.get())
        {
            self.on_partner_trouble(relayed.session_id.as_str().into(), word);
            return;
        }

        if let Some(outcome) = ReportOutcome::of(&message) {
            self.report(CallEventKind::Reported(outcome));
            return;
        }

        // The call ends with the block, so that the program asks again on the connection and hears there
        // what became of it.
        if BlockOutcome::of(&message).is_some() {
            return;
        }

        if let ServerMessage::IceServers(fresh) = &message {
            let ttl = Duration::from_secs(fresh.ttl);
            self.server
                .ice_servers
                .on_renewed(Instant::now(), &fresh.ice_servers, ttl);
            self.use_fresh_servers();
        }

        if let Some(input) = signaling::input(message)
            && !self.is_outdated(&input)
        {
            self.feed(input);
        }
    }

    /// Whether a message is an answer to another offer than this side's last one.
    fn is_outdated(&self, input: &Input) -> bool {
        let (Input::Answer { answer, .. }, Some(partner)) = (input, &self.partner) else {
            return false;
        };

        let is_outdated = partner.answers_another_offer(answer.as_str());
        if is_outdated {
            tracing::debug!("dropped an answer to an earlier offer");
        }

        is_outdated
    }

    pub(super) fn on_signaling_down(&mut self) {
        self.server.ice_servers.on_signaling_lost();
        self.feed(Input::SignalingDown);
    }

    /// Gives fresh credentials to a connection that was made with the old ones.
    fn use_fresh_servers(&mut self) {
        if let Some(partner) = &mut self.partner {
            let servers = signaling::ice_servers(self.server.ice_servers.servers());
            partner.peer.use_servers(servers);
        }
    }
}
