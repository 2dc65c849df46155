//! What the two sides exchange through the signaling server: descriptions and candidates, in the
//! form of a browser's `RTCSessionDescriptionInit` and `RTCIceCandidateInit`. Also reads which
//! media formats a description contains.

use rtc::sdp::MediaDescription;
use serde::{Deserialize, Serialize};
use webrtc::peer_connection::{RTCIceCandidateInit, RTCSdpType, RTCSessionDescription};

use super::error::PeerError;
use super::formats::{Format, MediaKind};

/// A browser's offer has about 6 kB. The signaling server passes on up to 64 KiB; anything longer
/// can only come from a broken one.
const MAX_DESCRIPTION_BYTES: usize = 96 * 1024;
/// Audio, video, and what a browser adds for a shared screen. Each costs a decoder.
const MAX_SECTIONS: usize = 16;
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
pub(super) fn to_json(description: &RTCSessionDescription) -> String {
    let init = DescriptionInit {
        r#type: description.sdp_type.to_string(),
        sdp: description.sdp.clone(),
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

/// A description from the partner, parsed as far as its media formats.
#[derive(Debug)]
pub(super) struct RemoteDescription {
    /// The description without the candidates.
    pub(super) description: RTCSessionDescription,
    /// The candidates inside it.
    pub(super) candidates: Vec<RTCIceCandidateInit>,
    /// `a=ice-ufrag` of the first section that has it.
    pub(super) ufrag: String,
    pub(super) media: Vec<MediaSection>,
}

/// One `m=` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MediaSection {
    pub(super) kind: MediaKind,
    /// The formats that we can use, in the order of the section. Empty if there are none or the
    /// section is rejected.
    pub(super) formats: Vec<Format>,
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
    let ufrag = sdp
        .lines()
        .find_map(|line| line.trim().strip_prefix("a=ice-ufrag:"))
        .unwrap_or_default()
        .to_owned();
    let parsed = match expected {
        RTCSdpType::Offer => RTCSessionDescription::offer(sdp),
        _ => RTCSessionDescription::answer(sdp),
    };

    let description = parsed.map_err(|_| PeerError::BadDescription("its SDP does not parse"))?;
    let media = media_sections(&description)?;

    if media.len() > MAX_SECTIONS {
        return Err(PeerError::BadDescription("it describes too many media"));
    }

    if media.is_empty() {
        return Err(PeerError::BadDescription("it describes no media"));
    }

    Ok(RemoteDescription {
        description,
        candidates,
        ufrag,
        media,
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

/// The audio and video sections of a description.
pub(super) fn media_sections(
    description: &RTCSessionDescription,
) -> Result<Vec<MediaSection>, PeerError> {
    let session = description
        .unmarshal()
        .map_err(|_| PeerError::BadDescription("its SDP does not parse"))?;
    Ok(session
        .media_descriptions
        .iter()
        .filter_map(media_section)
        .collect())
}

fn media_section(media: &MediaDescription) -> Option<MediaSection> {
    let kind = match media.media_name.media.as_str() {
        "audio" => MediaKind::Audio,
        "video" => MediaKind::Video,
        _ => return None,
    };

    if media.media_name.port.value == 0 {
        return Some(MediaSection {
            kind,
            formats: Vec::new(),
        });
    }

    let attribute = |key: &str, payload_type: u8| {
        media
            .attributes
            .iter()
            .filter(|attribute| attribute.key == key)
            .find_map(|attribute| {
                let (number, value) = attribute.value.as_deref()?.split_once(' ')?;
                (number.parse() == Ok(payload_type)).then_some(value)
            })
    };

    let formats = media.media_name.formats.iter().filter_map(|number| {
        let payload_type: u8 = number.parse().ok()?;
        let map = attribute("rtpmap", payload_type)?;
        Format::parse(
            kind,
            payload_type,
            map,
            attribute("fmtp", payload_type).unwrap_or_default(),
        )
    });

    Some(MediaSection {
        kind,
        formats: formats.collect(),
    })
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
    use tandem_media::codec::VideoCodec;

    use super::*;

    fn offer(media: &str) -> String {
        let sdp = format!("v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n{media}");
        serde_json::json!({ "type": "offer", "sdp": sdp }).to_string()
    }

    #[test]
    fn a_browsers_formats_are_found_in_its_order() {
        let json = offer(
            "m=audio 9 UDP/TLS/RTP/SAVPF 111 63 0\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10\r\n\
             a=rtpmap:63 red/48000/2\r\na=rtpmap:0 PCMU/8000\r\n\
             m=video 9 UDP/TLS/RTP/SAVPF 35 102 39 41\r\na=rtpmap:35 AV1/90000\r\na=rtpmap:102 H264/90000\r\n\
             a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f\r\n\
             a=rtpmap:39 H264/90000\r\na=fmtp:39 packetization-mode=1;profile-level-id=4d001f\r\n\
             a=rtpmap:41 H264/90000\r\na=fmtp:41 packetization-mode=0;profile-level-id=42e01f\r\n",
        );
        let remote = from_json(&json, RTCSdpType::Offer).unwrap();
        let found: Vec<Vec<u8>> = remote
            .media
            .iter()
            .map(|section| {
                section
                    .formats
                    .iter()
                    .map(|format| format.payload_type)
                    .collect()
            })
            .collect();

        assert_eq!(
            found,
            [vec![111], vec![102]],
            "opus; H.264 baseline in packetization mode 1, nothing else"
        );
        assert_eq!(remote.media[1].formats[0].video(), Some(VideoCodec::H264));
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
        assert_eq!(remote.ufrag, "abcd");
        assert!(!remote.description.sdp.contains("192.0.2."));
        assert_eq!(remote.media[0].formats.len(), 1, "the rest is as it was");
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
