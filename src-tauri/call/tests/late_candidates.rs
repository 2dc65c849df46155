//! Checks that arrive before the candidates they come from: on a fast path the partner's first check overtakes what the
//! relay has to pass on.

mod support;

use std::time::{Duration, Instant};

use tandem_call::peer::{Peer, PeerEvent};
use tokio::time::timeout;

use support::peer;

/// The library's own wait for a candidate that nobody has told is a second.
const PROMPTLY: Duration = Duration::from_millis(700);

/// From the answer to the connection, with the answering side's candidates withheld until then.
async fn connect() -> Duration {
    let ((mut offering, mut seen), (mut answering, mut news)) = (peer().await, peer().await);
    let offer = offering.create_offer().await.expect("an offer");
    let answer = answering
        .apply_offer(&offer, false)
        .await
        .expect("an answer");

    offering
        .apply_answer(&answer)
        .await
        .expect("it answers the offer");
    let begun = Instant::now();
    let mut withheld = Vec::new();
    let connect = async {
        loop {
            tokio::select! {
                event = seen.recv() => match event.expect("the connection lives") {
                    PeerEvent::Candidate(text) => {
                        answering.add_candidate(&text).await.expect("a candidate");
                    }
                    PeerEvent::Connected => return,
                    PeerEvent::Failed | PeerEvent::Closed => panic!("the connection failed"),
                    _ => {}
                },
                event = news.recv() => {
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
    let took = begun.elapsed();
    assert_eq!(
        remote_type(&offering).await,
        "prflx",
        "all that is known is that a check came from there"
    );

    while let Ok(event) = news.try_recv() {
        if let PeerEvent::Candidate(text) = event {
            withheld.push(text);
        }
    }

    assert!(!withheld.is_empty(), "the answering side has gathered");
    for text in withheld {
        offering.add_candidate(&text).await.expect("a candidate");
    }

    assert_eq!(
        remote_type(&offering).await,
        "host",
        "the candidate says what kind of address it is"
    );

    offering.close().await;
    answering.close().await;
    took
}

/// The type of the partner's end of the path.
async fn remote_type(peer: &Peer) -> String {
    peer.route().await.expect("a connection has a path").remote
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_whose_candidates_are_late_is_reached_at_once() {
    // A machine that is busy at the moment may take longer; one that waits for the library always does.
    let mut took = Vec::new();
    while took.len() < 5 && !took.iter().any(|took| *took < PROMPTLY) {
        took.push(connect().await);
    }

    let promptly = took.iter().any(|took| *took < PROMPTLY);
    assert!(
        promptly,
        "a check from an address that nobody has told was not good enough: {took:?}"
    );
}
