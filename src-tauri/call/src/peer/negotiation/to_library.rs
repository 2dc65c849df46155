//! The partner's description as the library gets it: the sections in use and nothing else, in the
//! library's own words.

use std::fmt::Write as _;

use webrtc::peer_connection::RTCSdpType;

use super::remote::{Content, Media, Remote, Transport};
use super::sections::{LibrarySection, Sections, Slot};
use crate::peer::formats::MediaKind;

/// What the description is written from.
pub(super) struct View<'a> {
    pub(super) kind: RTCSdpType,
    /// What the partner wrote.
    pub(super) remote: &'a Remote,
    /// ICE and DTLS of all sections.
    pub(super) transport: &'a Transport,
    pub(super) sections: &'a Sections,
    /// The SSRC of a section that announces this one.
    pub(super) ssrc: &'a dyn Fn(MediaKind, Option<u32>) -> u32,
}

impl View<'_> {
    pub(super) fn write(&self) -> String {
        let mids: Vec<&str> = self
            .sections
            .library
            .iter()
            .filter(|known| !self.is_closed(known))
            .map(|known| known.mid.as_str())
            .collect();

        let mut sdp = String::from("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n");
        line(&mut sdp, format_args!("a=group:BUNDLE {}", mids.join(" ")));
        if self.remote.ice_lite {
            line(&mut sdp, format_args!("a=ice-lite"));
        }

        if self.remote.mixed_extensions {
            line(&mut sdp, format_args!("a=extmap-allow-mixed"));
        }

        for known in &self.sections.library {
            match self.content(known) {
                Content::Media(media) => self.write_media(&mut sdp, &known.mid, media),
                Content::Data {
                    port,
                    max_message_size,
                } => self.write_data(&mut sdp, known, *port, *max_message_size),
                Content::Unknown => {}
            }
        }

        sdp
    }

    /// What the partner says now, or said while the section was in use.
    fn content<'a>(&'a self, known: &'a LibrarySection) -> &'a Content {
        self.sections
            .live(known.slot)
            .and_then(|index| self.remote.sections.get(index))
            .map_or(&known.content, |section| &section.content)
    }

    /// Whether the library must know that the section is not used. A rejected medium is only not
    /// sent: see the module's introduction.
    fn is_closed(&self, known: &LibrarySection) -> bool {
        known.slot == Slot::Data && self.sections.live(Slot::Data).is_none()
    }

    fn write_media(&self, sdp: &mut String, mid: &str, media: &Media) {
        let name = match media.kind {
            MediaKind::Audio => "audio",
            MediaKind::Video => "video",
        };
        let is_live = self.sections.live(Slot::of(media.kind)).is_some();
        let ssrc = (self.ssrc)(media.kind, media.ssrc.filter(|_| is_live));
        let repair_ssrc = media.repair_of(ssrc).filter(|_| is_live);
        let formats: Vec<_> = self.sections.numbers.in_the_order_of(media).collect();
        let repair = formats.iter().filter_map(|(known, _)| known.repair);
        let numbers: Vec<String> = formats
            .iter()
            .map(|(known, _)| known.format.payload_type)
            .chain(repair)
            .map(|number| number.to_string())
            .collect();
        line(
            sdp,
            format_args!("m={name} 9 UDP/TLS/RTP/SAVPF {}", numbers.join(" ")),
        );
        self.write_transport(sdp, mid);
        line(sdp, format_args!("a=rtcp-mux"));
        line(sdp, format_args!("a=rtcp-rsize"));

        for (known, feedback) in &formats {
            let format = &known.format;
            let number = format.payload_type;
            line(sdp, format_args!("a=rtpmap:{number} {}", format.map()));
            if !format.parameters.is_empty() {
                line(sdp, format_args!("a=fmtp:{number} {}", format.parameters));
            }

            for feedback in feedback {
                line(sdp, format_args!("a=rtcp-fb:{number} {feedback}"));
            }

            if let Some(repair) = known.repair {
                line(sdp, format_args!("a=rtpmap:{repair} rtx/90000"));
                line(sdp, format_args!("a=fmtp:{repair} apt={number}"));
            }
        }

        for extension in &media.extensions {
            line(sdp, format_args!("a=extmap:{extension}"));
        }

        // One track for each kind, whatever the partner calls it and however often it changes.
        line(sdp, format_args!("a=msid:partner {name}"));
        if let Some(repair_ssrc) = repair_ssrc {
            line(sdp, format_args!("a=ssrc-group:FID {ssrc} {repair_ssrc}"));
            line(sdp, format_args!("a=ssrc:{repair_ssrc} cname:partner"));
        }

        line(sdp, format_args!("a=ssrc:{ssrc} cname:partner"));
        line(sdp, format_args!("a=sendrecv"));
    }

    fn write_data(
        &self,
        sdp: &mut String,
        known: &LibrarySection,
        port: u16,
        max_message_size: Option<u32>,
    ) {
        let number = if self.is_closed(known) { 0 } else { 9 };
        line(
            sdp,
            format_args!("m=application {number} UDP/DTLS/SCTP webrtc-datachannel"),
        );
        self.write_transport(sdp, &known.mid);
        line(sdp, format_args!("a=sctp-port:{port}"));
        if let Some(size) = max_message_size {
            line(sdp, format_args!("a=max-message-size:{size}"));
        }
    }

    fn write_transport(&self, sdp: &mut String, mid: &str) {
        let transport = self.transport;
        line(sdp, format_args!("c=IN IP4 0.0.0.0"));
        line(sdp, format_args!("a=mid:{mid}"));
        for (name, value) in [("ufrag", &transport.ufrag), ("pwd", &transport.password)] {
            if let Some(value) = value {
                line(sdp, format_args!("a=ice-{name}:{value}"));
            }
        }

        line(sdp, format_args!("a=ice-options:trickle"));
        for (algorithm, hash) in &transport.fingerprints {
            line(sdp, format_args!("a=fingerprint:{algorithm} {hash}"));
        }

        line(sdp, format_args!("a=setup:{}", self.setup()));
    }

    /// An offer that leaves the choice, or an answer that makes one.
    fn setup(&self) -> &'static str {
        match (self.kind, self.transport.setup.as_deref()) {
            (_, Some("passive")) => "passive",
            (RTCSdpType::Offer, _) => "actpass",
            _ => "active",
        }
    }
}

fn line(sdp: &mut String, line: std::fmt::Arguments<'_>) {
    // A String takes everything.
    let _ = write!(sdp, "{line}\r\n");
}
