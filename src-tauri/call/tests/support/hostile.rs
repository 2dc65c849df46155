//! A partner that speaks the signaling protocol and does with it what it likes.

use std::time::Duration;

use tandem_signaling::client::{Client, ClientConfig, ClientEvent, ClientEvents};
use tandem_signaling::message::{
    ClientMessage, FindPartner, PartnerFound, RawValue, ServerMessage,
};
use tokio::time::timeout;

use super::TestServer;

const TIMEOUT: Duration = Duration::from_secs(20);

/// A partner that has only a connection to the signaling server.
pub(crate) struct Hostile {
    pub client: Client,
    pub events: ClientEvents,
}

impl Hostile {
    pub(crate) fn join(server: &TestServer) -> Self {
        let (client, events) = Client::connect(ClientConfig::new(server.url()));
        Self { client, events }
    }

    /// Waits for a message that `pick` accepts.
    pub(crate) async fn until<T>(&mut self, pick: impl Fn(ServerMessage) -> Option<T>) -> T {
        let search = async {
            while let Some(event) = self.events.recv().await {
                if let ClientEvent::Message(message) = event
                    && let Some(found) = pick(message)
                {
                    return found;
                }
            }

            panic!("the signaling server went away");
        };

        timeout(TIMEOUT, search)
            .await
            .expect("the signaling server answers")
    }

    /// Waits to be matched with the other side in `room`.
    pub(crate) async fn meet(&mut self, room: &str) -> Box<PartnerFound> {
        self.search(room).await;
        self.found().await
    }

    /// Begins to search in `room`, and waits until the server knows.
    pub(crate) async fn search(&mut self, room: &str) {
        while !matches!(
            self.events
                .recv()
                .await
                .expect("the signaling server is there"),
            ClientEvent::Connected(_)
        ) {}

        let search = FindPartner {
            room: Some(room.to_owned()),
            ..FindPartner::default()
        };

        self.client
            .send(ClientMessage::FindPartner(search))
            .expect("the server is there");
        self.until(|message| matches!(message, ServerMessage::Searching { .. }).then_some(()))
            .await;
    }

    /// Waits to be matched.
    pub(crate) async fn found(&mut self) -> Box<PartnerFound> {
        let found = self.until(|message| match message {
            ServerMessage::PartnerFound(found) => Some(found),
            _ => None,
        });

        found.await
    }

    /// Waits to be matched in `room`, then sends `description`: as the offer or as the answer,
    /// depending on its role.
    pub(crate) async fn send_description(
        &mut self,
        room: &str,
        description: &dyn Fn(&str) -> String,
    ) {
        let found = self.meet(room).await;
        let raw =
            |text: String| RawValue::from_string(text).expect("the protocol carries only JSON");
        let to = found.socket_id.clone();

        if found.initiator {
            self.client
                .send(ClientMessage::WebrtcOffer {
                    to,
                    offer: raw(description("offer")),
                })
                .expect("the server is there");
        } else {
            self.until(|message| matches!(message, ServerMessage::WebrtcOffer(_)).then_some(()))
                .await;
            self.client
                .send(ClientMessage::WebrtcAnswer {
                    to,
                    answer: raw(description("answer")),
                })
                .expect("the server is there");
        }
    }
}
