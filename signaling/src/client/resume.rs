//! What is needed to go on where a broken connection ended. Sans-IO.

use crate::message::{ClientMessage, ServerMessage, UserRegistered};

/// Follows a connection's relayed messages by their number, and remembers how to take its place.
#[derive(Debug, Default)]
pub(super) struct Resumption {
    /// The token of the present identity, if the relay keeps it for a while.
    token: Option<String>,
    /// The number of the newest relayed message.
    last_seq: u64,
}

impl Resumption {
    /// The first message of a new connection. `None`: there is nothing to go on with.
    pub(super) fn request(&self) -> Option<ClientMessage> {
        let resume_token = self.token.clone()?;
        Some(ClientMessage::Resume {
            resume_token,
            last_seq: self.last_seq,
        })
    }

    /// The connection is a new user.
    pub(super) fn on_new_user(&mut self, registered: &UserRegistered) {
        self.last_seq = 0;
        self.on_resumed(registered);
    }

    /// The connection took the old one's place: its token counts from now on, and numbers go on.
    pub(super) fn on_resumed(&mut self, registered: &UserRegistered) {
        self.token = (registered.resume_ms > 0).then(|| registered.resume_token.clone());
    }

    /// Another connection has taken this one's place, so nobody else may.
    pub(super) fn forget(&mut self) {
        self.token = None;
    }

    /// Whether a message is news. A relayed one that was received before is not: the relay repeats whatever it cannot
    /// know to have arrived.
    pub(super) fn is_news(&mut self, message: &ServerMessage) -> bool {
        let seq = match message {
            ServerMessage::WebrtcOffer(relayed) => relayed.seq,
            ServerMessage::WebrtcAnswer(relayed) => relayed.seq,
            ServerMessage::IceCandidate(relayed) => relayed.seq,
            _ => return true,
        };

        let news = seq > self.last_seq;
        if news {
            self.last_seq = seq;
        }

        news
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

    fn asks(resumption: &Resumption) -> Option<(String, u64)> {
        match resumption.request()? {
            ClientMessage::Resume {
                resume_token,
                last_seq,
            } => Some((resume_token, last_seq)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_newest_token_and_number_are_asked_with() {
        let mut resumption = Resumption::default();
        assert_eq!(asks(&resumption), None, "nothing to go on with");
        resumption.on_new_user(&registered("a", 30_000));

        assert_eq!(asks(&resumption), Some(("a".into(), 0)));
        assert!(resumption.is_news(&candidate(1)) && resumption.is_news(&candidate(2)));
        assert_eq!(asks(&resumption), Some(("a".into(), 2)));
        resumption.on_resumed(&registered("b", 30_000));

        assert_eq!(
            asks(&resumption),
            Some(("b".into(), 2)),
            "the used token is worth nothing, numbers go on"
        );

        assert!(
            !resumption.is_news(&candidate(2)) && resumption.is_news(&candidate(3)),
            "repeated messages are dropped"
        );

        resumption.on_new_user(&registered("c", 30_000));
        assert!(
            resumption.is_news(&candidate(1)),
            "a new user's numbers begin anew"
        );

        resumption.forget();
        assert_eq!(asks(&resumption), None);
    }

    #[test]
    fn a_relay_that_keeps_nothing_is_not_asked() {
        let mut resumption = Resumption::default();
        resumption.on_new_user(&registered("a", 0));
        assert_eq!(asks(&resumption), None);
    }
}
