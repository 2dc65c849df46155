//! The rooms in which a client listens, in case the server registers it as a new user.

use parking_lot::Mutex;

use crate::message::{Capability, ClientMessage, ServerMessage, UserRegistered};

/// The list of the last `listen`, until the server ends it. At most 20 codes of 64 characters,
/// because the server refuses a longer list.
#[derive(Debug, Default)]
pub(super) struct Listening(Mutex<Vec<String>>);

impl Listening {
    /// The program has sent a message. A search ends listening.
    pub(super) fn on_sent(&self, message: &ClientMessage) {
        match message {
            ClientMessage::Listen { rooms } => self.0.lock().clone_from(rooms),
            ClientMessage::FindPartner(_) | ClientMessage::Next { .. } => self.0.lock().clear(),
            _ => {}
        }
    }

    /// The server has sent a message. A call ends listening.
    pub(super) fn on_received(&self, message: &ServerMessage) {
        if let ServerMessage::PartnerFound(_) = message {
            self.0.lock().clear();
        }
    }

    /// What to send to a server that has registered this client as a new user. `None` if it did
    /// not listen, or if this server does not know `listen`.
    pub(super) fn request(&self, registered: &UserRegistered) -> Option<ClientMessage> {
        let rooms = self.0.lock().clone();
        let is_needed = !rooms.is_empty() && registered.can(Capability::Ring);

        is_needed.then_some(ClientMessage::Listen { rooms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{FindPartner, parse_server};

    fn registered(capabilities: &str) -> UserRegistered {
        let text = format!(
            r#"{{"type":"user_registered","userId":"u","socketId":"s","resumeToken":"t","protocol":1,
                "heartbeatMs":1,"silentMs":1,"resumeMs":1,"maxMessageBytes":65536,"capabilities":[{capabilities}]}}"#
        );

        match parse_server(&text).expect("a good message").message {
            ServerMessage::UserRegistered(registered) => *registered,
            other => panic!("{other:?}"),
        }
    }

    fn requested(listening: &Listening) -> Vec<String> {
        match listening.request(&registered(r#""ring""#)) {
            None => Vec::new(),
            Some(ClientMessage::Listen { rooms }) => rooms,
            Some(other) => panic!("{other:?}"),
        }
    }

    fn listen(rooms: &[&str]) -> ClientMessage {
        ClientMessage::Listen {
            rooms: rooms.iter().map(|&room| room.into()).collect(),
        }
    }

    #[test]
    fn the_newest_list_is_sent_again_and_only_to_a_server_that_knows_it() {
        let listening = Listening::default();
        assert!(requested(&listening).is_empty(), "it did not listen");

        listening.on_sent(&listen(&["a"]));
        listening.on_sent(&listen(&["b", "c"]));
        assert_eq!(requested(&listening), ["b", "c"]);
        assert!(
            listening.request(&registered(r#""claim_room""#)).is_none(),
            "an old server would answer `unknown_type`"
        );

        listening.on_sent(&listen(&[]));
        assert!(requested(&listening).is_empty(), "it stopped");
    }

    #[test]
    fn a_search_and_a_call_end_it() {
        let found = r#"{"type":"partner_found","partnerId":"u","sessionId":"x","socketId":"s","userName":"A","userAge":null,"userLocation":"U","userPicture":null,"initiator":true}"#;
        let found = parse_server(found).expect("a good message").message;

        let listening = Listening::default();
        listening.on_sent(&listen(&["a"]));
        listening.on_received(&found);
        assert!(requested(&listening).is_empty(), "a call");

        for search in [
            ClientMessage::FindPartner(FindPartner::default()),
            ClientMessage::Next { session_id: None },
        ] {
            listening.on_sent(&listen(&["a"]));
            listening.on_sent(&search);
            assert!(requested(&listening).is_empty(), "{search:?}");
        }
    }
}
