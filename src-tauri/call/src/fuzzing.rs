//! What a partner's bytes reach, as functions of bytes: for fuzz targets, and for the test that
//! replays their inputs.
#![expect(clippy::disallowed_methods, reason = "any moment will do as the start")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rtc::interceptor::{
    AttributedPacket, Interceptor, Packet, RTCPFeedback, RTPHeaderExtension, StreamInfo,
    TaggedPacket,
};
use rtc::peer_connection::configuration::media_engine::MediaEngine;
use rtc::rtp::header::Header;
use rtc::shared::TransportContext;
use webrtc::peer_connection::RTCSdpType;

use crate::congestion::{self, BitrateBounds};
use crate::link::{LinkState, RepairCounters};
pub use crate::peer::datagrams;
use crate::{partner_state, peer};

/// The SSRCs of this side's video and the partner's.
const LOCAL: u32 = 1;
const REMOTE: u32 = 2;

/// Packets that this side has sent before each RTCP packet arrives.
const SENT: u16 = 20;

/// A message of the state channel.
///
/// # Panics
/// If what was parsed cannot be written and parsed again.
pub fn channel_message(message: &[u8]) {
    if let Ok(Some(state)) = partner_state::parse(message) {
        assert_eq!(
            partner_state::parse(partner_state::to_json(state).as_bytes()),
            Ok(Some(state)),
            "what was parsed can be written and parsed again"
        );
    }
}

/// What a TURN server sends over TCP or TLS. The first byte says in pieces of how many bytes the others
/// arrive.
///
/// # Panics
/// If more waits than one message, or one that came out is none.
pub fn turn_stream(input: &[u8]) {
    if let Some((step, bytes)) = input.split_first() {
        peer::read_turn_stream(bytes, usize::from(*step));
    }
}

/// A description and its candidates, first as an offer and then as an answer: as the signaling server
/// delivers them, or only the SDP.
pub fn description(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };

    peer::read_candidate(text);
    for kind in [RTCSdpType::Offer, RTCSdpType::Answer] {
        let wrapped = serde_json::json!({ "type": kind.to_string(), "sdp": text });
        for json in [text, &wrapped.to_string()] {
            peer::read_description(json, kind);
        }
    }
}

/// RTCP as it arrives behind SRTP, through the interceptors of a call that sends video: a series of
/// packets, each with two bytes of length (big-endian), one of time since the last one in
/// milliseconds, and content. Returns what was counted, and the round-trip time.
///
/// # Panics
/// If the estimate leaves its bounds.
pub fn rtcp(mut input: &[u8]) -> (RepairCounters, Option<Duration>) {
    let bounds = BitrateBounds::default();
    let (mut chain, link) = call_chain(bounds);
    let (mut now, mut sequence) = (Instant::now(), 0);

    while let Some((&[high, low, wait], rest)) = input.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes([high, low])).min(rest.len());
        let (mut content, rest) = rest.split_at(length);
        input = rest;
        now += Duration::from_millis(wait.into());
        for _ in 0..SENT {
            send(&mut *chain, now, sequence);
            sequence = sequence.wrapping_add(1);
        }

        if let Ok(packets) = rtc::rtcp::packet::unmarshal(&mut content) {
            receive(&mut *chain, now, packets);
        }

        let target = link.target_bps();
        assert!(
            (bounds.min_bps..=bounds.max_bps).contains(&target),
            "{target} bit/s"
        );
    }

    (link.repair(), link.rtt())
}

/// The interceptors of a call with one stream in each direction.
fn call_chain(bounds: BitrateBounds) -> (Box<dyn Interceptor>, Arc<LinkState>) {
    let registered = congestion::register(&mut MediaEngine::default(), bounds);
    let (registry, link) = registered.expect("the defaults are valid");
    let mut chain: Box<dyn Interceptor> = Box::new(registry.build());
    chain.bind_local_stream(&stream(LOCAL));
    chain.bind_remote_stream(&stream(REMOTE));
    (chain, link)
}

fn stream(ssrc: u32) -> StreamInfo {
    let feedback = |typ: &str, parameter: &str| RTCPFeedback {
        typ: typ.into(),
        parameter: parameter.into(),
    };

    StreamInfo {
        ssrc,
        mime_type: "video/H264".into(),
        payload_type: 96,
        clock_rate: 90_000,
        rtp_header_extensions: vec![RTPHeaderExtension {
            uri: "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01".into(),
            id: 3,
        }],
        rtcp_feedback: vec![feedback("transport-cc", ""), feedback("nack", "")],
        ..StreamInfo::default()
    }
}

fn tagged(now: Instant, packet: Packet) -> TaggedPacket {
    TaggedPacket {
        now,
        transport: TransportContext::default(),
        message: AttributedPacket::new(packet),
    }
}

fn send(chain: &mut dyn Interceptor, now: Instant, sequence_number: u16) {
    let packet = rtc::rtp::packet::Packet {
        header: Header {
            version: 2,
            ssrc: LOCAL,
            payload_type: 96,
            sequence_number,
            timestamp: u32::from(sequence_number) * 3_000,
            ..Header::default()
        },
        payload: Bytes::from_static(&[0x41; 200]),
    };

    // An error is about this packet only.
    let _ = chain.handle_write(tagged(now, Packet::Rtp(packet)));
    turn(chain, now);
}

fn receive(chain: &mut dyn Interceptor, now: Instant, packets: Vec<Box<dyn rtc::rtcp::Packet>>) {
    let _ = chain.handle_read(tagged(now, Packet::Rtcp(packets)));
    turn(chain, now);
}

/// Lets everything through that is due.
fn turn(chain: &mut dyn Interceptor, now: Instant) {
    while chain.poll_read().is_some() {}
    while chain.poll_write().is_some() {}

    if chain.poll_timeout().is_some_and(|due| due <= now) {
        let _ = chain.handle_timeout(now);
        while chain.poll_write().is_some() {}
    }
}
