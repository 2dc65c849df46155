//! Ringing: listeners, knocks, and what callers hear.

mod claimed_rooms;
mod knocks;
mod listeners;
mod ring_only;

use super::*;
use crate::message::{Accept, KnockEnd, KnockId};

/// 128 random bits, as text.
const PRIVATE: &str = "3f9a1c77b2d84e5f9a6b0c1d2e3f4a5b";

fn listen(rooms: &[&str]) -> ClientMessage {
    ClientMessage::Listen {
        rooms: rooms.iter().map(|&room| room.into()).collect(),
    }
}

/// A search for a room that must exist, as a call to a known person makes it.
fn call(room: &str) -> ClientMessage {
    ClientMessage::FindPartner(FindPartner {
        user_name: Some("Ada".into()),
        room: Some(room.into()),
        must_exist: true,
        ..FindPartner::default()
    })
}

/// Whether the only message is `searching`, with `ringing` as it says.
fn ringing(messages: &[ServerMessage]) -> bool {
    match messages {
        [ServerMessage::Searching(searching)] => searching.ringing,
        other => panic!("expected one searching: {other:?}"),
    }
}

fn accepted(messages: &[ServerMessage]) -> usize {
    match messages {
        [ServerMessage::Listening(listening), ..] => listening.rooms,
        other => panic!("expected listening: {other:?}"),
    }
}

/// The code of the error with which a search has ended, after anything else.
fn failed_last(messages: &[ServerMessage]) -> ErrorCode {
    failed(messages.last_chunk::<2>().expect("the end of a search"))
}

/// The error and then the end of a search.
fn failed(messages: &[ServerMessage]) -> ErrorCode {
    match messages {
        [ServerMessage::Error(report), ServerMessage::SearchCancelled] => report.code,
        other => panic!("expected the end of a search: {other:?}"),
    }
}

impl World {
    /// The only thing that this client got: a knock.
    fn knock(&mut self, key: ClientKey) -> KnockId {
        match &self.take(key)[..] {
            [ServerMessage::Knock(knock)] => knock.knock_id.clone(),
            other => panic!("expected one knock: {other:?}"),
        }
    }

    /// The only thing that this client got: the end of a knock.
    fn knock_ended(&mut self, key: ClientKey) -> (KnockId, KnockEnd) {
        match &self.take(key)[..] {
            [ServerMessage::KnockEnded(ended)] => (ended.knock_id.clone(), ended.reason),
            other => panic!("expected the end of a knock: {other:?}"),
        }
    }

    fn accept(&mut self, key: ClientKey, knock: KnockId) -> Vec<ServerMessage> {
        self.say(key, ClientMessage::Accept(knock.into()))
    }

    fn decline(&mut self, key: ClientKey, knock_id: KnockId) -> Vec<ServerMessage> {
        self.say(key, ClientMessage::Decline { knock_id })
    }

    /// A listener in [`PRIVATE`] and a caller that rings at it, with the knock.
    fn ring(&mut self) -> (ClientKey, ClientKey, KnockId) {
        let (listener, caller) = (self.join(), self.join());
        assert_eq!(accepted(&self.say(listener, listen(&[PRIVATE]))), 1);
        assert!(ringing(&self.say(caller, call(PRIVATE))));
        let knock = self.knock(listener);

        (listener, caller, knock)
    }
}
