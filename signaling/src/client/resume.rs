//! What a client must remember to resume after its connection breaks. Sans-IO.

use crate::message::{ClientMessage, ServerMessage, UserRegistered};

/// The close code of a connection whose client was resumed on another one.
const REPLACED: u16 = 4002;

/// Tracks the number of the last relayed message, and the token with which a new connection takes
/// over this client.
#[derive(Debug, Default)]
pub(super) struct Resumption {
    /// The newest resume token; `None` if the server keeps nothing to resume.
    token: Option<String>,
    /// The `seq` of the newest relayed message; 0 before the first.
    last_seq: u64,
}

impl Resumption {
    /// The `resume` message to send first on a new connection; `None` if there is nothing to
    /// resume.
    pub(super) fn request(&self) -> Option<ClientMessage> {
        let resume_token = self.token.clone()?;
        Some(ClientMessage::Resume {
            resume_token,
            last_seq: self.last_seq,
        })
    }

    /// The server registered a new user: relayed messages count from 1 again.
    pub(super) fn on_new_user(&mut self, registered: &UserRegistered) {
        self.last_seq = 0;
        self.on_resumed(registered);
    }

    /// The connection took the old one's place: its token is the valid one now, and the numbers
    /// continue.
    pub(super) fn on_resumed(&mut self, registered: &UserRegistered) {
        self.token = (registered.resume_ms > 0).then(|| registered.resume_token.clone());
    }

    /// The server closed the connection with this code. If another connection has resumed this
    /// client, this one must not.
    pub(super) fn on_closed(&mut self, code: u16) {
        if code == REPLACED {
            self.token = None;
        }
    }

    /// Whether a message is new. After a resume, the server sends relayed messages again that may
    /// not have arrived.
    pub(super) fn is_new(&mut self, message: &ServerMessage) -> bool {
        let seq = match message {
            ServerMessage::WebrtcOffer(relayed) => relayed.seq,
            ServerMessage::WebrtcAnswer(relayed) => relayed.seq,
            ServerMessage::IceCandidate(relayed) => relayed.seq,
            _ => return true,
        };

        let is_new = seq > self.last_seq;
        if is_new {
            self.last_seq = seq;
        }

        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::parse_server;

    fn registered(token: &str, resume_ms: u64) -> UserRegistered {
        let text = format!(
            r#"{{"type":"user_registered","userId":"u","socketId":"s","resumeToken":"{token}","protocol":1,
                "heartbeatMs":1,"silentMs":1,"resumeMs":{resume_ms},"maxMessageBytes":65536}}"#
        );

        match parse_server(&text).expect("a good message").message {
            ServerMessage::UserRegistered(registered) => *registered,
            other => panic!("{other:?}"),
        }
    }

    fn candidate(seq: u64) -> ServerMessage {
        let text = format!(
            r#"{{"type":"ice_candidate","candidate":null,"from":"p","sessionId":"c","seq":{seq}}}"#
        );
        parse_server(&text).expect("a good message").message
    }

    fn requested(resumption: &Resumption) -> Option<(String, u64)> {
        match resumption.request()? {
            ClientMessage::Resume {
                resume_token,
                last_seq,
            } => Some((resume_token, last_seq)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_request_carries_the_newest_token_and_number() {
        let mut resumption = Resumption::default();
        assert_eq!(requested(&resumption), None, "nothing to resume");
        resumption.on_new_user(&registered("a", 30_000));

        assert_eq!(
            requested(&resumption),
            Some(("a".into(), 0)),
            "nothing received yet"
        );
        assert!(
            resumption.is_new(&candidate(1)) && resumption.is_new(&candidate(2)),
            "both are new"
        );
        assert_eq!(
            requested(&resumption),
            Some(("a".into(), 2)),
            "the newest number"
        );
        resumption.on_resumed(&registered("b", 30_000));

        assert_eq!(
            requested(&resumption),
            Some(("b".into(), 2)),
            "the new token replaces the used one, and the numbers continue"
        );

        assert!(
            !resumption.is_new(&candidate(2)) && resumption.is_new(&candidate(3)),
            "repeated messages are dropped"
        );

        resumption.on_new_user(&registered("c", 30_000));
        assert!(
            resumption.is_new(&candidate(1)),
            "the numbers of a new user start at 1"
        );

        resumption.on_closed(1001);
        assert!(
            requested(&resumption).is_some(),
            "other ends can be resumed"
        );

        resumption.on_closed(REPLACED);
        assert_eq!(
            requested(&resumption),
            None,
            "a client that was resumed elsewhere is not resumed here"
        );
    }

    #[test]
    fn a_server_that_keeps_nothing_gets_no_request() {
        let mut resumption = Resumption::default();
        resumption.on_new_user(&registered("a", 0));
        assert_eq!(requested(&resumption), None, "there is nothing to resume");
    }
}
