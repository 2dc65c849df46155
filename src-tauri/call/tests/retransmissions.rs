//! What is negotiated about retransmissions.
#![allow(clippy::disallowed_methods, reason = "tests run in real time")]

mod support;

use support::peers::peer;

/// The formats of the video in a description: payload type, name and parameters.
fn video_formats(description: &str) -> Vec<(String, String, String)> {
    let json: serde_json::Value = serde_json::from_str(description).expect("JSON");
    let sdp = json["sdp"].as_str().expect("a description has a text");
    let video = sdp.split("m=video").nth(1).expect("video is offered");
    let section = video.split("\r\nm=").next().expect("a section");

    let attribute = |name: &str, payload_type: &str| {
        let start = format!("a={name}:{payload_type} ");
        let value = section.lines().find_map(|line| line.strip_prefix(&start));
        value.unwrap_or_default().to_owned()
    };

    let line = section.lines().next().expect("a media line");
    line.split(' ')
        .skip(3)
        .map(|payload_type| {
            (
                payload_type.to_owned(),
                attribute("rtpmap", payload_type),
                attribute("fmtp", payload_type),
            )
        })
        .collect()
}

/// Checks that each video format has a format of retransmissions.
fn assert_retransmissions(description: &str) {
    let formats = video_formats(description);
    let (repair, media): (Vec<_>, Vec<_>) = formats
        .iter()
        .partition(|(_, map, _)| map.eq_ignore_ascii_case("rtx/90000"));
    assert!(!media.is_empty(), "{formats:?}");

    for (payload_type, map, _) in media {
        let apt = format!("apt={payload_type}");
        assert!(
            repair.iter().any(|(_, _, parameters)| *parameters == apt),
            "{map} has no retransmissions, so a browser's padding looks like lost video: {formats:?}"
        );
    }
}

#[tokio::test]
async fn offer_and_answer_have_a_stream_of_retransmissions_for_each_video_format() {
    let (mut left, _left_events) = peer().await;
    let (mut right, _right_events) = peer().await;

    let offer = left.create_offer().await.expect("an offer");
    assert_retransmissions(&offer);

    let answer = right.apply_offer(&offer, false).await.expect("an answer");
    assert_retransmissions(&answer);
}
