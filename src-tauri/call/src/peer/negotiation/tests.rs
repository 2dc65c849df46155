#![allow(clippy::unwrap_used, reason = "a test may panic")]

use tandem_media::codec::VideoCodec;
use webrtc::peer_connection::{RTCSdpType, RTCSessionDescription};

use super::h264::{H264, Packetization, Profile};
use super::{ForLibrary, Negotiation, Remote};
use crate::peer::error::PeerError;
use crate::peer::formats::MediaKind;

mod numbers;

const TRANSPORT: &str = "c=IN IP4 0.0.0.0\r\na=rtcp-mux\r\na=ice-ufrag:abcd\r\n\
    a=ice-pwd:0123456789abcdefghijklmn\r\na=setup:actpass\r\n";
const HASH: &str = "00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff";

/// A description with these sections, each given as its first line, its mid and what follows.
fn sdp(bundle: &str, sections: &[(&str, &str, &str)]) -> String {
    let group = if bundle.is_empty() {
        String::new()
    } else {
        format!("a=group:BUNDLE {bundle}\r\n")
    };
    let mut text = format!(
        "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n{group}a=fingerprint:SHA-256 {HASH}\r\n"
    );
    for (line, mid, rest) in sections {
        text += &format!("m={line}\r\n{TRANSPORT}a=mid:{mid}\r\n{rest}");
    }

    text
}

const AUDIO: (&str, &str, &str) = (
    "audio 9 UDP/TLS/RTP/SAVPF 109",
    "a",
    "a=rtpmap:109 OPUS/48000/2\r\na=ssrc:7 cname:x\r\na=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid\r\n",
);
const VIDEO: (&str, &str, &str) = (
    "video 9 UDP/TLS/RTP/SAVPF 120 126 97 127",
    "v",
    "a=rtpmap:120 VP8/90000\r\na=rtpmap:126 H264/90000\r\n\
     a=fmtp:126 profile-level-id=42c01f;level-asymmetry-allowed=1;packetization-mode=1;sprop-parameter-sets=Z0LAHtk,aM4G\r\n\
     a=rtpmap:97 H264/90000\r\na=fmtp:97 profile-level-id=640c1f;packetization-mode=1\r\n\
     a=rtpmap:127 rtx/90000\r\na=fmtp:127 apt=120\r\na=rtcp-fb:* nack pli\r\na=rtcp-fb:126 transport-cc\r\n\
     a=ssrc-group:FID 8 9\r\na=ssrc:9 cname:x\r\na=ssrc:8 cname:x\r\n",
);
const DATA: (&str, &str, &str) = (
    "application 9 UDP/DTLS/SCTP webrtc-datachannel",
    "d",
    "a=sctp-port:5000\r\n",
);

fn read(text: &str) -> Remote {
    let description = RTCSessionDescription::offer(text.to_owned()).unwrap();
    Remote::read(&description.unmarshal().unwrap()).unwrap()
}

fn offered(negotiation: &mut Negotiation, text: &str) -> Result<ForLibrary, PeerError> {
    let plan = negotiation.read(RTCSdpType::Offer, read(text))?;
    Ok(negotiation.apply(plan))
}

/// What the library answers to `sdp`: all of it, in both directions.
fn library_answers(sdp: &str) -> RTCSessionDescription {
    RTCSessionDescription::answer(sdp.replace("actpass", "passive")).unwrap()
}

/// The answer to `text` for the partner.
fn answer(negotiation: &mut Negotiation, text: &str) -> String {
    let library = offered(negotiation, text).unwrap();
    let both = [MediaKind::Audio, MediaKind::Video];
    negotiation
        .answer(&library_answers(&library.sdp), &both)
        .unwrap()
}

/// What an answer of the partner comes to.
fn answered(negotiation: &mut Negotiation, text: &str) -> ForLibrary {
    let plan = negotiation.read(RTCSdpType::Answer, read(text)).unwrap();
    negotiation.apply(plan)
}

/// The lines that begin with `start`.
fn lines<'a>(text: &'a str, start: &str) -> Vec<&'a str> {
    text.lines()
        .filter(|line| line.starts_with(start))
        .collect()
}

#[test]
fn the_library_gets_what_is_used_in_its_own_words() {
    let mut negotiation = Negotiation::default();
    let text = sdp("a v d", &[AUDIO, VIDEO, DATA]);
    let library = offered(&mut negotiation, &text).unwrap().sdp;

    let media = lines(&library, "m=");
    assert_eq!(media[0], "m=audio 9 UDP/TLS/RTP/SAVPF 109");
    assert!(media[1].starts_with("m=video 9 UDP/TLS/RTP/SAVPF 120 126 97 "));
    assert_eq!(media[2], "m=application 9 UDP/DTLS/SCTP webrtc-datachannel");
    assert_eq!(media.len(), 3, "without what Tandem has no use for");
    assert_eq!(
        lines(&library, "a=rtpmap:").len(),
        1 + 2 * 11,
        "all that Tandem has, with retransmissions of video"
    );
    assert_eq!(lines(&library, "a=mid:"), ["a=mid:0", "a=mid:1", "a=mid:2"]);
    assert_eq!(
        lines(&library, "a=fmtp:126"),
        ["a=fmtp:126 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"]
    );
    assert_eq!(
        lines(&library, "a=ssrc:"),
        [
            "a=ssrc:7 cname:partner",
            "a=ssrc:9 cname:partner",
            "a=ssrc:8 cname:partner"
        ]
    );
    assert_eq!(lines(&library, "a=ssrc-group:"), ["a=ssrc-group:FID 8 9"]);
    assert_eq!(lines(&library, "a=fmtp:127"), ["a=fmtp:127 apt=120"]);
    assert_eq!(lines(&library, "a=rtcp-fb:120"), ["a=rtcp-fb:120 nack pli"]);
    assert_eq!(lines(&library, "a=rtcp-fb:126").len(), 2);
    let hash = HASH.to_ascii_uppercase();
    assert_eq!(
        lines(&library, "a=fingerprint"),
        vec![format!("a=fingerprint:sha-256 {hash}"); 3]
    );
}

#[test]
fn the_partner_gets_its_own_words_back() {
    let mut negotiation = Negotiation::default();
    let text = sdp("a v d", &[AUDIO, VIDEO, DATA]);
    let answer = answer(&mut negotiation, &text);
    assert_eq!(lines(&answer, "a=mid:"), ["a=mid:a", "a=mid:v", "a=mid:d"]);
    assert_eq!(lines(&answer, "a=group:"), ["a=group:BUNDLE a v d"]);
    assert_eq!(
        lines(&answer, "a=fmtp:126"),
        ["a=fmtp:126 profile-level-id=42c01f;level-asymmetry-allowed=1;packetization-mode=1"],
        "the profile in the partner's spelling, without the sets of the partner's stream"
    );
    assert_eq!(
        lines(&answer, "a=extmap:").len(),
        1,
        "none that was not offered"
    );
    assert_eq!(lines(&answer, "a=setup:"), ["a=setup:passive"; 3]);
}

#[test]
fn simple_formats_come_before_those_that_few_decode_well() {
    let mut negotiation = Negotiation::default();
    let section = ("video 9 UDP/TLS/RTP/SAVPF 97 126", "v", VIDEO.2);
    let agreed = offered(&mut negotiation, &sdp("v", &[section]))
        .unwrap()
        .negotiated;
    let numbers: Vec<u8> = agreed
        .video
        .iter()
        .map(|format| format.payload_type)
        .collect();
    assert_eq!(numbers, [126, 97]);
    assert_eq!(
        agreed.video[1].h264,
        Some(H264::new(
            Profile::ConstrainedHigh,
            Packetization::NonInterleaved
        ))
    );
    assert_eq!(agreed.video[0].video(), Some(VideoCodec::H264));
}

#[test]
fn directions_are_answered_and_carried_out() {
    for (offer, answered, wanted) in [
        ("sendrecv", "sendrecv", true),
        ("sendonly", "recvonly", false),
        ("recvonly", "sendonly", true),
        ("inactive", "inactive", false),
    ] {
        let mut negotiation = Negotiation::default();
        let audio = format!("{}a={offer}\r\n", AUDIO.2);
        let text = sdp("a", &[(AUDIO.0, "a", &audio)]);
        let agreed = offered(&mut negotiation, &text).unwrap().negotiated;
        assert_eq!(
            agreed.to_send(MediaKind::Audio).is_some(),
            wanted,
            "{offer}"
        );

        let answer = answer(&mut negotiation, &text);
        assert!(
            answer.contains(&format!("a={answered}\r\n")),
            "{offer}: {answer}"
        );
        let library = offered(&mut negotiation, &text).unwrap().sdp;
        assert!(
            library.contains("a=sendrecv"),
            "the library notices nothing"
        );
    }
}

#[test]
fn a_direction_for_the_whole_session_counts() {
    let mut negotiation = Negotiation::default();
    let text = sdp("a", &[AUDIO]).replace("t=0 0\r\n", "t=0 0\r\na=recvonly\r\n");
    assert!(answer(&mut negotiation, &text).contains("a=sendonly"));
}

#[test]
fn a_section_keeps_its_place_for_ever() {
    let mut negotiation = Negotiation::default();
    let second = (VIDEO.0, "w", VIDEO.2);
    let text = sdp("a w v", &[AUDIO, second, VIDEO]);
    let first = answer(&mut negotiation, &text);
    assert!(
        lines(&first, "m=video")[1].starts_with("m=video 0 "),
        "{first}"
    );
    assert_eq!(lines(&first, "a=group:"), ["a=group:BUNDLE a w"]);

    // The partner takes the section away that was used, and keeps the other one.
    let gone = ("video 0 UDP/TLS/RTP/SAVPF 120", "w", "");
    let text = sdp("a v", &[AUDIO, gone, VIDEO]);
    let next = answer(&mut negotiation, &text);
    let media = lines(&next, "m=video");
    assert!(
        media[0].starts_with("m=video 0 ") && media[1].starts_with("m=video 9 "),
        "{next}"
    );
    assert_eq!(lines(&next, "a=mid:"), ["a=mid:a", "a=mid:w", "a=mid:v"]);

    let library = offered(&mut negotiation, &text).unwrap().sdp;
    assert_eq!(lines(&library, "m=").len(), 2, "one each: {library}");
    assert_eq!(lines(&library, "a=mid:"), ["a=mid:0", "a=mid:1"]);

    let short = sdp("a", &[AUDIO]);
    assert!(matches!(
        offered(&mut negotiation, &short),
        Err(PeerError::BadDescription(_))
    ));
}

#[test]
fn what_is_rejected_for_now_stays_with_the_library() {
    let mut negotiation = Negotiation::default();
    let before = offered(&mut negotiation, &sdp("a v", &[AUDIO, VIDEO]))
        .unwrap()
        .sdp;
    let gone = ("video 0 UDP/TLS/RTP/SAVPF 120", "v", "");
    let without = offered(&mut negotiation, &sdp("a", &[AUDIO, gone])).unwrap();
    assert_eq!(lines(&without.sdp, "m="), lines(&before, "m="));
    assert!(without.negotiated.video.is_empty());
    assert!(without.negotiated.to_send(MediaKind::Video).is_none());
}

#[test]
fn without_bundle_the_first_medium_is_the_call() {
    let mut negotiation = Negotiation::default();
    let answer = answer(&mut negotiation, &sdp("", &[AUDIO, VIDEO, DATA]));
    let media = lines(&answer, "m=");
    assert!(media[0].starts_with("m=audio 9 "), "{answer}");
    assert!(media[1].starts_with("m=video 0 ") && media[2].starts_with("m=application 0 "));
    assert!(lines(&answer, "a=group:").is_empty());
}

#[test]
fn ice_restarts_with_the_section_that_is_used() {
    let mut negotiation = Negotiation::default();
    let ufrag = |negotiation: &Negotiation, text: &str| {
        let plan = negotiation.read(RTCSdpType::Offer, read(text)).unwrap();
        plan.ufrag().to_owned()
    };
    // Video comes first, and audio is what is used.
    let text = sdp("", &[VIDEO, AUDIO]).replacen("ufrag:abcd", "ufrag:efgh", 1);
    assert_eq!(ufrag(&negotiation, &text), "abcd");
    assert!(
        offered(&mut negotiation, &text)
            .unwrap()
            .sdp
            .contains("ufrag:abcd")
    );

    // A section that was used may keep what it had.
    let gone = ("audio 0 UDP/TLS/RTP/SAVPF 109", "a", "");
    let text = sdp("v", &[gone, VIDEO]).replacen("ufrag:abcd", "ufrag:old", 1);
    assert_eq!(ufrag(&Negotiation::default(), &text), "abcd");
}

#[test]
fn a_section_outside_of_the_bundle_is_rejected() {
    let mut negotiation = Negotiation::default();
    let answer = answer(&mut negotiation, &sdp("a d", &[AUDIO, VIDEO, DATA]));
    assert!(
        lines(&answer, "m=video")[0].starts_with("m=video 0 "),
        "{answer}"
    );
    assert_eq!(lines(&answer, "a=group:"), ["a=group:BUNDLE a d"]);
}

#[test]
fn a_bundled_section_without_a_port_is_wanted() {
    let mut negotiation = Negotiation::default();
    let rest = format!("{}a=bundle-only\r\n", VIDEO.2);
    let section = ("video 0 UDP/TLS/RTP/SAVPF 120 126", "v", rest.as_str());
    let answer = answer(&mut negotiation, &sdp("a v", &[AUDIO, section]));
    assert!(
        lines(&answer, "m=video")[0].starts_with("m=video 9 "),
        "{answer}"
    );
}

#[test]
fn another_certificate_is_another_person() {
    let mut negotiation = Negotiation::default();
    let text = sdp("a", &[AUDIO]);
    offered(&mut negotiation, &text).unwrap();
    let lower = text.replace("AA:BB", "aa:bb");
    assert!(offered(&mut negotiation, &lower).is_ok(), "the same one");
    let other = text.replace("AA:BB", "AA:BC");
    assert!(matches!(
        offered(&mut negotiation, &other),
        Err(PeerError::BadDescription(_))
    ));
}

#[test]
fn a_stream_that_nobody_announced_belongs_where_its_payload_type_does() {
    let mut negotiation = Negotiation::default();
    let silent = (VIDEO.0, "v", VIDEO.2.split("a=ssrc-group").next().unwrap());
    let first = offered(&mut negotiation, &sdp("a v", &[AUDIO, silent]))
        .unwrap()
        .sdp;
    assert_eq!(lines(&first, "a=ssrc:").len(), 2, "with a made-up one");

    assert!(
        negotiation.on_undeclared(1234, 0).is_none(),
        "no section has PCMU"
    );
    let (kind, again) = negotiation.on_undeclared(1234, 126).unwrap();
    assert_eq!(kind, RTCSdpType::Offer);
    assert_eq!(
        lines(&again, "a=ssrc:"),
        ["a=ssrc:7 cname:partner", "a=ssrc:1234 cname:partner"]
    );

    // The next description still says nothing, and then it does.
    let same = offered(&mut negotiation, &sdp("a v", &[AUDIO, silent]))
        .unwrap()
        .sdp;
    assert_eq!(lines(&same, "a=ssrc:"), lines(&again, "a=ssrc:"));
    let told = offered(&mut negotiation, &sdp("a v", &[AUDIO, VIDEO]))
        .unwrap()
        .sdp;
    assert_eq!(lines(&told, "a=ssrc:")[2], "a=ssrc:8 cname:partner");
}

#[test]
fn nothing_in_common_is_told_as_such() {
    let mut negotiation = Negotiation::default();
    let other = (
        "video 9 UDP/TLS/RTP/SAVPF 35",
        "v",
        "a=rtpmap:35 AV1/90000\r\n",
    );
    assert!(matches!(
        offered(&mut negotiation, &sdp("v", &[other])),
        Err(PeerError::NoCommonCodec("video"))
    ));
    assert!(
        offered(&mut negotiation, &sdp("a v", &[AUDIO, other])).is_ok(),
        "sound alone is a call"
    );
}
