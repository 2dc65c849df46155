//! Which section of the descriptions a stream of the partner belongs to.

use std::sync::Arc;

use rtc::sdp::{MediaDescription, SessionDescription};
use webrtc::media_stream::track_remote::TrackRemote;
use webrtc::peer_connection::PeerConnection;

use super::formats::MediaKind;

/// Whether `track` belongs to the first section of its kind in which the partner sends and which
/// nobody rejected. `None` if that is not known.
pub(super) async fn is_first(
    connection: &dyn PeerConnection,
    kind: MediaKind,
    track: &Arc<dyn TrackRemote>,
) -> Option<bool> {
    let remote = connection.remote_description().await?.unmarshal().ok()?;
    let local = connection.local_description().await?.unmarshal().ok()?;
    let first = first_mid(kind, &remote, &local)?;

    for transceiver in connection.get_transceivers().await {
        let Ok(Some(receiver)) = transceiver.receiver().await else {
            continue;
        };

        if Arc::ptr_eq(receiver.track(), track) {
            let mid = transceiver.mid().await.ok()??;
            return Some(mid == first);
        }
    }

    None
}

/// The `a=mid` of that section. Both descriptions have the same sections in the same order
/// (RFC 3264 §6).
fn first_mid<'a>(
    kind: MediaKind,
    remote: &'a SessionDescription,
    local: &SessionDescription,
) -> Option<&'a str> {
    let name = match kind {
        MediaKind::Audio => "audio",
        MediaKind::Video => "video",
    };

    let mut sections = remote
        .media_descriptions
        .iter()
        .zip(&local.media_descriptions);
    let (first, _) = sections.find(|(remote, local)| {
        let is_rejected = [remote, local]
            .iter()
            .any(|section| section.media_name.port.value == 0);
        remote.media_name.media == name && !is_rejected && sends(remote)
    })?;

    first.attribute("mid").flatten()
}

/// Whether the author of a section sends in it: `sendrecv`, which is also meant where nothing is
/// said (RFC 8866 §6.7), or `sendonly`.
fn sends(section: &MediaDescription) -> bool {
    ["recvonly", "inactive"]
        .iter()
        .all(|direction| section.attribute(direction).is_none())
}

#[cfg(test)]
mod tests {
    use webrtc::peer_connection::RTCSessionDescription;

    use super::*;

    /// A description with these sections: kind, port, direction, mid.
    fn description(sections: &[(&str, u16, &str, &str)]) -> SessionDescription {
        let media: String = sections
            .iter()
            .map(|(kind, port, direction, mid)| {
                format!("m={kind} {port} UDP/TLS/RTP/SAVPF 96\r\na={direction}\r\na=mid:{mid}\r\n")
            })
            .collect();
        let sdp = format!("v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n{media}");
        let parsed = RTCSessionDescription::offer(sdp).expect("valid SDP");
        parsed.unmarshal().expect("valid SDP")
    }

    #[test]
    fn the_first_section_that_sends_and_is_accepted_counts() {
        let remote = description(&[
            ("audio", 9, "sendrecv", "0"),
            ("video", 0, "sendrecv", "1"),
            ("video", 9, "recvonly", "2"),
            ("video", 9, "inactive", "3"),
            ("video", 9, "sendonly", "4"),
            ("video", 9, "sendrecv", "5"),
        ]);
        let accepted = |port| {
            description(&[
                ("audio", 9, "sendrecv", "0"),
                ("video", 0, "inactive", "1"),
                ("video", 9, "sendonly", "2"),
                ("video", 9, "inactive", "3"),
                ("video", port, "recvonly", "4"),
                ("video", 9, "sendrecv", "5"),
            ])
        };

        let first = |kind, port| first_mid(kind, &remote, &accepted(port)).map(str::to_owned);
        assert_eq!(first(MediaKind::Audio, 9).as_deref(), Some("0"));
        assert_eq!(first(MediaKind::Video, 9).as_deref(), Some("4"));
        assert_eq!(
            first(MediaKind::Video, 0).as_deref(),
            Some("5"),
            "this side has rejected the one before"
        );

        let none = description(&[("audio", 9, "inactive", "0")]);
        assert_eq!(first_mid(MediaKind::Audio, &none, &none), None);
    }
}
