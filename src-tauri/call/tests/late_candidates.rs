//! ICE checks that arrive before the candidates they belong to: on a fast route the partner's first
//! check overtakes the candidates, which take the way through the signaling server.
#![allow(clippy::disallowed_methods, reason = "tests run in real time")]

mod support;

use std::time::{Duration, Instant};

use tandem_call::internals::{Peer, PeerEvent};
use tokio::time::timeout;

use support::peers::peer;

/// Well below the second that the library waits by default before it accepts an address that no
/// candidate announced.
const PROMPTLY: Duration = Duration::from_millis(700);

/// The time from the answer to the connection, with the answering side's candidates withheld until
/// then.
async fn connect() -> Duration {
    let (mut offering, mut offering_events) = peer().await;
    let (mut answering, mut answering_events) = peer().await;
    let offer = offering.create_offer().await.expect("an offer");
    let answer = answering
        .apply_offer(&offer, false)
        .await
        .expect("an answer");

    offering
        .apply_answer(&answer)
        .await
        .expect("it answers the offer");
    let started = Instant::now();
    let mut withheld = Vec::new();
    let connect = async {
        loop {
            tokio::select! {
                event = offering_events.recv() => match event.expect("the connection lives") {
                    PeerEvent::Candidate(text) => {
                        answering.add_candidate(&text).await.expect("a candidate");
                    }
                    PeerEvent::Connected => return,
                    PeerEvent::Failed | PeerEvent::Closed => panic!("the connection failed"),
                    _ => {}
                },
                event = answering_events.recv() => {
                    if let Some(PeerEvent::Candidate(text)) = event {
                        withheld.push(text);
                    }
                }
            }
        }
    };

    timeout(Duration::from_secs(20), connect)
        .await
        .expect("the two connect");
    let took = started.elapsed();
    assert_eq!(
        remote_type(&offering).await,
        "prflx",
        "all that is known is that a check came from that address"
    );

    while let Ok(event) = answering_events.try_recv() {
        if let PeerEvent::Candidate(text) = event {
            withheld.push(text);
        }
    }

    assert!(
        !withheld.is_empty(),
        "the answering side has gathered candidates"
    );
    for text in withheld {
        offering.add_candidate(&text).await.expect("a candidate");
    }

    assert_eq!(
        remote_type(&offering).await,
        "host",
        "the candidate gives the type of the address"
    );

    offering.close().await;
    answering.close().await;
    took
}

/// The type of the remote candidate of the route.
async fn remote_type(peer: &Peer) -> String {
    peer.route().await.expect("a connection has a route").remote
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_with_late_candidates_is_connected_promptly() {
    // A busy machine may take longer once or twice.
    let mut took = Vec::new();
    for _ in 0..5 {
        took.push(connect().await);
    }

    took.sort();
    assert!(
        took[2] < PROMPTLY,
        "a check from an unannounced address is accepted promptly, not only sometimes: {took:?}"
    );
}
