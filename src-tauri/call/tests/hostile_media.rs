//! A partner that connects like others and then misuses the connection: the call ends with a code.
#![allow(clippy::disallowed_methods, reason = "tests run in real time")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use tandem_call::EndCode;
use tandem_call::internals::{Peer, PeerEvent};
use tandem_signaling::client::ClientEvent;
use tandem_signaling::message::{ClientMessage, RawValue, ServerMessage};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;
use webrtc::data_channel::DataChannelEvent;

use support::hostile::Hostile;
use support::peers::peer;
use support::{Side, TestServer, room, server};

const TIMEOUT: Duration = Duration::from_secs(20);

/// A hostile side in a call with an honest one.
struct InCall {
    server: TestServer,
    honest: Side,
    hostile: Peer,
    /// Kept, so that the connection lives.
    _signaling: Hostile,
    _events: UnboundedReceiver<PeerEvent>,
}

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).expect("the peer makes JSON")
}

/// Connects the two.
async fn in_call() -> InCall {
    let (server, room) = (server().await, room());
    let honest = Side::start(&server, &room);
    let mut signaling = Hostile::join(&server);
    let found = signaling.meet(&room).await;
    let (mut hostile, mut events) = peer().await;
    let send = |signaling: &Hostile, message| {
        signaling.client.send(message).expect("the server is there");
    };
    let to = || found.socket_id.clone();

    if found.initiator {
        let offer = raw(&hostile.create_offer().await.expect("an offer"));
        send(&signaling, ClientMessage::WebrtcOffer { to: to(), offer });
    }

    let connect = async {
        loop {
            tokio::select! {
                event = events.recv() => match event.expect("the connection lives") {
                    PeerEvent::Candidate(text) => {
                        let candidate = raw(&text);
                        send(&signaling, ClientMessage::IceCandidate { to: to(), candidate });
                    }
                    PeerEvent::Connected => return,
                    _ => {}
                },
                event = signaling.events.recv() => match event {
                    Some(ClientEvent::Message(ServerMessage::WebrtcOffer(relayed))) => {
                        let answer = hostile.apply_offer(relayed.offer.get(), false).await;
                        let answer = raw(&answer.expect("an honest offer"));
                        send(&signaling, ClientMessage::WebrtcAnswer { to: to(), answer });
                    }
                    Some(ClientEvent::Message(ServerMessage::WebrtcAnswer(relayed))) => {
                        let applied = hostile.apply_answer(relayed.answer.get()).await;
                        applied.expect("an honest answer");
                    }
                    Some(ClientEvent::Message(ServerMessage::IceCandidate(relayed))) => {
                        let _ = hostile.add_candidate(relayed.candidate.get()).await;
                    }
                    _ => {}
                },
            }
        }
    };
    timeout(TIMEOUT, connect).await.expect("the two connect");

    InCall {
        server,
        honest,
        hostile,
        _signaling: signaling,
        _events: events,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_that_opens_channel_after_channel_is_left() {
    let mut call = in_call().await;
    let connection = Arc::clone(call.hostile.connection());
    // One after the other: of many that were made before SCTP was up, sometimes none opens.
    let open_without_end = async move {
        let mut channels = Vec::new();
        for number in 0_u32.. {
            let label = format!("channel {number}");
            let Ok(channel) = connection.create_data_channel(&label, None).await else {
                break;
            };

            let opened = async {
                while !matches!(channel.poll().await, None | Some(DataChannelEvent::OnOpen)) {}
            };
            let _ = timeout(Duration::from_secs(1), opened).await;
            channels.push(channel);
        }

        std::future::pending::<()>().await;
    };

    let code = tokio::select! {
        code = call.honest.ended(TIMEOUT) => code,
        () = open_without_end => unreachable!("it waits"),
    };
    assert_eq!(code, EndCode::PartnerMisbehaved);
    call.hostile.close().await;
    call.server.shutdown().await;
}
