//! What the two sides exchange through the signaling server: descriptions and candidates, in the
//! form of a browser's `RTCSessionDescriptionInit` and `RTCIceCandidateInit`.

use serde::{Deserialize, Serialize};
use webrtc::peer_connection::{RTCIceCandidateInit, RTCSdpType, RTCSessionDescription};

use super::error::PeerError;
use super::negotiation::Remote;

/// A browser's offer has about 6 kB. The signaling server passes on up to 64 KiB; anything longer
/// can only come from a broken one.
const MAX_DESCRIPTION_BYTES: usize = 96 * 1024;
/// A candidate line has about 150 bytes.
const MAX_CANDIDATE_BYTES: usize = 4 * 1024;

/// `RTCSessionDescriptionInit` (W3C webrtc §4.6.2).
#[derive(Serialize, Deserialize)]
struct DescriptionInit {
    r#type: String,
    #[serde(default)]
    sdp: String,
}

/// A description in wire format.
pub(super) fn to_json(kind: RTCSdpType, sdp: String) -> String {
    let init = DescriptionInit {
        r#type: kind.to_string(),
        sdp,
    };

    serde_json::to_string(&init).expect("two strings are always JSON")
}

/// A candidate in wire format.
pub(super) fn candidate_to_json(candidate: &RTCIceCandidateInit) -> String {
    serde_json::to_string(candidate).expect("strings and numbers are always JSON")
}

/// Whether a candidate names an address at all. Without an interface of a family, the library binds
/// the unspecified address and makes a candidate of it.
pub(super) fn names_an_address(candidate: &RTCIceCandidateInit) -> bool {
    let address = candidate.candidate.split_ascii_whitespace().nth(4);
    !matches!(address, Some("0.0.0.0" | "::"))
}

/// A description from the partner.
#[derive(Debug)]
pub(super) struct RemoteDescription {
    pub(super) remote: Remote,
    /// The candidates inside it.
    pub(super) candidates: Vec<RTCIceCandidateInit>,
}

/// Parses a description of type `expected`.
pub(super) fn from_json(json: &str, expected: RTCSdpType) -> Result<RemoteDescription, PeerError> {
    if json.len() > MAX_DESCRIPTION_BYTES {
        return Err(PeerError::BadDescription("it is too long"));
    }

    let init: DescriptionInit = serde_json::from_str(json)
        .map_err(|_| PeerError::BadDescription("it is not { type, sdp }"))?;
    if init.r#type != expected.to_string() {
        return Err(PeerError::BadDescription("it has the wrong type"));
    }

    let (candidates, sdp) = without_candidates(&init.sdp);
    let parsed = match expected {
        RTCSdpType::Offer => RTCSessionDescription::offer(sdp),
        _ => RTCSessionDescription::answer(sdp),
    };

    let session = parsed
        .and_then(|description| description.unmarshal())
        .map_err(|_| PeerError::BadDescription("its SDP does not parse"))?;
    Ok(RemoteDescription {
        remote: Remote::read(&session)?,
        candidates,
    })
}

/// Takes the candidates out of a description: the library would check all of them at once.
fn without_candidates(sdp: &str) -> (Vec<RTCIceCandidateInit>, String) {
    let mut candidates = Vec::new();
    let mut rest = String::with_capacity(sdp.len());
    for line in sdp.split_inclusive('\n') {
        // As the library reads attributes: with space around the value.
        let attribute = line.trim().strip_prefix("a=").map(str::trim);
        let value = attribute.and_then(|attribute| attribute.strip_prefix("candidate"));
        match value.and_then(|value| value.trim_start().strip_prefix(':')) {
            // All media is bundled onto one transport, so the section does not matter.
            Some(value) => candidates.push(RTCIceCandidateInit {
                candidate: format!("candidate:{}", value.trim()),
                sdp_mline_index: Some(0),
                ..RTCIceCandidateInit::default()
            }),
            None => rest.push_str(line),
        }
    }

    (candidates, rest)
}

/// Parses a candidate. `None` for the end of candidates: JSON `null`, or an empty candidate line.
pub(super) fn candidate_from_json(json: &str) -> Result<Option<RTCIceCandidateInit>, PeerError> {
    if json.len() > MAX_CANDIDATE_BYTES {
        return Err(PeerError::BadCandidate);
    }

    let candidate: Option<RTCIceCandidateInit> =
        serde_json::from_str(json).map_err(|_| PeerError::BadCandidate)?;
    Ok(candidate.filter(|candidate| !candidate.candidate.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(media: &str) -> String {
        let sdp = format!("v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n{media}");
        serde_json::json!({ "type": "offer", "sdp": sdp }).to_string()
    }

    #[test]
    fn candidates_inside_a_description_are_taken_out() {
        let json = offer(
            "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=ice-ufrag:abcd\r\n\
             a=candidate:1 1 udp 1 192.0.2.1 5 typ host\r\na=end-of-candidates\r\n\
             a= candidate:2 1 udp 1 192.0.2.2 5 typ host\r\na=\tcandidate: 3 1 udp 1 192.0.2.3 5 typ host\r\n\
             a=rtpmap:111 opus/48000/2\r\n",
        );
        let remote = from_json(&json, RTCSdpType::Offer).unwrap();
        let lines: Vec<&str> = remote
            .candidates
            .iter()
            .map(|candidate| &*candidate.candidate)
            .collect();
        assert_eq!(
            lines,
            [
                "candidate:1 1 udp 1 192.0.2.1 5 typ host",
                "candidate:2 1 udp 1 192.0.2.2 5 typ host",
                "candidate:3 1 udp 1 192.0.2.3 5 typ host"
            ]
        );
        assert!(remote.remote.has_media(), "the rest is as it was");
    }

    #[test]
    fn garbage_is_rejected_with_an_error() {
        let long = offer(&"a=x\r\n".repeat(100_000));
        let many = offer(&"m=video 9 UDP/TLS/RTP/SAVPF 102\r\n".repeat(350));
        for json in [
            "",
            "null",
            "[]",
            "{}",
            "\"offer\"",
            r#"{"type":"offer"}"#,
            r#"{"type":"answer","sdp":"v=0"}"#,
            r#"{"type":"offer","sdp":"v=0\r\nm=\r\n"}"#,
            r#"{"type":"offer","sdp":"\u0000\u0001"}"#,
            &offer(""),
            &long,
            &many,
        ] {
            let result = from_json(json, RTCSdpType::Offer);
            let start: String = json.chars().take(40).collect();
            assert!(
                matches!(result, Err(PeerError::BadDescription(_))),
                "{start} is not an offer"
            );
        }
    }

    #[test]
    fn candidates_and_their_end_are_recognized() {
        let json = r#"{"candidate":"candidate:1 1 udp 1 192.0.2.1 5 typ host","sdpMid":"0","sdpMLineIndex":0}"#;
        assert!(candidate_from_json(json).unwrap().is_some());

        for end in ["null", r#"{"candidate":""}"#] {
            assert!(
                candidate_from_json(end).unwrap().is_none(),
                "{end} ends the candidates"
            );
        }

        let long = format!(r#"{{"candidate":"{}"}}"#, "x".repeat(10_000_000));
        for json in ["", "1", "{}", r#"{"candidate":7}"#, &long] {
            assert!(candidate_from_json(json).is_err(), "not a candidate");
        }
    }
}
