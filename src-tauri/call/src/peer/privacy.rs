//! What leaves the machine in relay-only mode: relay candidates, and nothing that contains an
//! address of this machine.
//!
//! The ICE agent is configured to gather nothing else (RFC 8829 §4.1.1, `iceTransportPolicy`). This
//! module checks again, on the text that is actually sent. It also removes the address from which a
//! relay candidate was made (`raddr`, RFC 8839 §5.1), which the library reveals.

use webrtc::peer_connection::RTCIceCandidateInit;

/// The candidate as it may be sent; `None` if it must not be sent.
pub(super) fn candidate(mut init: RTCIceCandidateInit) -> Option<RTCIceCandidateInit> {
    init.candidate = candidate_line(&init.candidate)?;
    // The TURN server's URL is not secret, but the partner does not need it.
    init.url = None;
    Some(init)
}

/// The SDP with relay candidates only, and without any other address.
pub(super) fn description(sdp: &str) -> String {
    let mut stripped = String::with_capacity(sdp.len());
    for line in sdp.split_terminator('\n') {
        let line = line.trim_end_matches('\r');
        let kept = match line.split_once([':', '=']) {
            // With ICE, the address for media comes from candidates, not from here (RFC 8839
            // §4.2.1.2, RFC 8866 §5.2).
            Some(("c", _)) => Some("c=IN IP4 0.0.0.0".to_owned()),
            Some(("o", rest)) => Some(format!("o={}", anonymous_origin(rest))),
            Some(("a", attribute)) if attribute.starts_with("candidate") => {
                let value = attribute.split_once(':').map_or("", |(_, value)| value);
                candidate_line(value).map(|line| {
                    format!("a=candidate:{line}").replacen("candidate:candidate:", "candidate:", 1)
                })
            }
            Some(("a", attribute)) if attribute.starts_with("rtcp:") => {
                Some("a=rtcp:9 IN IP4 0.0.0.0".to_owned())
            }
            Some(("a", attribute)) if attribute.starts_with("remote-candidates") => None,
            _ => Some(line.to_owned()),
        };

        if let Some(kept) = kept {
            stripped.push_str(&kept);
            stripped.push_str("\r\n");
        }
    }

    stripped
}

/// `o=` without the address of its creator.
fn anonymous_origin(origin: &str) -> String {
    let mut fields: Vec<&str> = origin.split(' ').collect();
    if let [.., network, kind, address] = &mut fields[..] {
        (*network, *kind, *address) = ("IN", "IP4", "0.0.0.0");
    }

    fields.join(" ")
}

/// A relay `candidate-attribute` without its related address; `None` for any other type. An empty
/// one, which marks the end of candidates, stays.
fn candidate_line(line: &str) -> Option<String> {
    if line.is_empty() {
        return Some(String::new());
    }

    let mut fields: Vec<&str> = line.split_ascii_whitespace().collect();
    if fields.get(value_index(&fields, "typ")?) != Some(&"relay") {
        return None;
    }

    for (name, nothing) in [("raddr", "0.0.0.0"), ("rport", "0")] {
        let value = value_index(&fields, name).and_then(|at| fields.get_mut(at));
        if let Some(value) = value {
            *value = nothing;
        }
    }

    Some(fields.join(" "))
}

/// Where the value of the attribute `name` would stand. Attributes follow the six fixed fields.
fn value_index(fields: &[&str], name: &str) -> Option<usize> {
    fields
        .iter()
        .skip(6)
        .position(|field| *field == name)
        .map(|at| at + 7)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RELAY: &str =
        "candidate:1 1 udp 9 198.51.100.7 50000 typ relay raddr 192.0.2.33 rport 61000 ufrag x";

    #[test]
    fn only_relay_candidates_pass_and_without_their_origin() {
        assert_eq!(
            candidate_line(RELAY).as_deref(),
            Some("candidate:1 1 udp 9 198.51.100.7 50000 typ relay raddr 0.0.0.0 rport 0 ufrag x")
        );

        for line in [
            "candidate:1 1 udp 9 192.0.2.33 50000 typ host",
            "candidate:1 1 udp 9 203.0.113.5 50000 typ srflx raddr 192.0.2.33 rport 50000",
            "candidate:1 1 udp 9 203.0.113.5 50000 typ prflx raddr 192.0.2.33 rport 50000",
            "candidate:1 1 udp 9 abc.local 50000 typ host relay",
            "candidate:typ relay",
            "relay",
        ] {
            assert_eq!(candidate_line(line), None, "{line}");
        }

        assert_eq!(
            candidate_line("").as_deref(),
            Some(""),
            "the end of candidates"
        );
    }

    #[test]
    fn a_description_contains_no_address_of_the_machine() {
        let sdp = format!(
            "v=0\r\no=- 4711 2 IN IP4 192.0.2.33\r\ns=-\r\nc=IN IP6 2001:db8::33\r\nt=0 0\r\n\
             m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 192.0.2.33\r\na=rtcp:61000 IN IP4 192.0.2.33\r\n\
             a=candidate:1 1 udp 9 192.0.2.33 61000 typ host\r\na={RELAY}\r\na=end-of-candidates\r\na=mid:0\r\n"
        );
        let stripped = description(&sdp);
        assert!(
            !stripped.contains("192.0.2.33") && !stripped.contains("2001:db8"),
            "{stripped}"
        );
        assert!(stripped.contains(
            "\r\na=candidate:1 1 udp 9 198.51.100.7 50000 typ relay raddr 0.0.0.0 rport 0"
        ));
        assert!(
            stripped.contains("o=- 4711 2 IN IP4 0.0.0.0\r\n") && stripped.ends_with("a=mid:0\r\n"),
            "{stripped}"
        );
        assert_eq!(description(&stripped), stripped, "nothing is left to strip");
    }

    proptest! {
        #[test]
        fn no_address_of_the_machine_slips_through(
            lines in proptest::collection::vec(
                prop_oneof![
                    Just("a=candidate:2 1 udp 9 192.0.2.33 6 typ host".to_owned()),
                    Just(
                        "a=candidate:2 1 tcp 9 192.0.2.33 6 typ srflx raddr 192.0.2.33 rport 6"
                            .to_owned()
                    ),
                    Just(format!("a={RELAY}")),
                    Just("c=IN IP4 192.0.2.33".to_owned()),
                    Just("o=- 1 1 IN IP4 192.0.2.33".to_owned()),
                    Just("a=rtcp:5 IN IP4 192.0.2.33".to_owned()),
                    "[ -~]{0,40}".prop_filter("not the address by chance", |line| {
                        !line.contains("192.0.2.33")
                    }),
                ],
                0..30,
            )
        ) {
            let stripped = description(&lines.join("\r\n"));
            prop_assert!(!stripped.contains("192.0.2.33"), "{}", stripped);
        }
    }
}
