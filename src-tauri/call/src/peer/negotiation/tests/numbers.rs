//! Payload types, and how they change in a call.

use super::*;

/// The payload types and parameters of the section of this kind.
fn formats<'a>(sdp: &'a str, kind: &str) -> (&'a str, Vec<&'a str>) {
    let start = sdp.find(&format!("m={kind} ")).unwrap();
    let section = &sdp[start..];
    let end = section[2..].find("m=").map_or(section.len(), |end| end + 2);
    let line = section.lines().next().unwrap();
    let numbers = line.split_once("SAVPF ").unwrap().1;
    (numbers, lines(&section[..end], "a=rtpmap:"))
}

/// VP8 as `number`, and what follows in its section.
fn vp8(number: u8) -> (String, String) {
    (
        format!("video 9 UDP/TLS/RTP/SAVPF {number}"),
        format!("a=rtpmap:{number} VP8/90000\r\na=rtcp-fb:{number} nack\r\na=ssrc:8 cname:x\r\n"),
    )
}

#[test]
fn payload_types_may_change_in_a_call() {
    let mut negotiation = Negotiation::default();
    let (line, rest) = vp8(120);
    let first = sdp("a v", &[AUDIO, (&line, "v", &rest)]);
    let library = offered(&mut negotiation, &first).unwrap().sdp;
    assert_eq!(negotiation.on_the_wire(MediaKind::Video), None);

    // The video takes the number that audio had.
    let (line, rest) = vp8(109);
    let audio = (
        "audio 9 UDP/TLS/RTP/SAVPF 96",
        "a",
        "a=rtpmap:96 opus/48000/2\r\na=ssrc:7 cname:x\r\n",
    );
    let second = sdp("a v", &[audio, (&line, "v", &rest)]);
    let changed = offered(&mut negotiation, &second).unwrap();
    assert_eq!(
        lines(&changed.sdp, "a=rtpmap:"),
        lines(&library, "a=rtpmap:"),
        "the library notices nothing"
    );
    assert_eq!(
        changed
            .negotiated
            .to_send(MediaKind::Video)
            .unwrap()
            .payload_type,
        109
    );
    assert_eq!(
        changed
            .negotiated
            .to_send(MediaKind::Audio)
            .unwrap()
            .payload_type,
        96
    );

    let numbers = |kind| -> Vec<u8> {
        let codecs = negotiation.on_the_wire(kind).unwrap();
        codecs.iter().map(|codec| codec.payload_type).collect()
    };
    assert_eq!(numbers(MediaKind::Audio), [96], "109 is video now");
    assert_eq!(
        numbers(MediaKind::Video),
        [109, 120],
        "old packets may come"
    );
    assert_eq!(
        negotiation.clone().on_undeclared(5, 109).unwrap().1,
        negotiation.clone().on_undeclared(5, 120).unwrap().1,
        "both are video"
    );
    let received = changed.negotiated.received(MediaKind::Video);
    let received: Vec<u8> = received.iter().map(|format| format.payload_type).collect();
    assert_eq!(received, [109, 120]);
    let video = &negotiation.on_the_wire(MediaKind::Video).unwrap()[0];
    assert_eq!(video.rtp_codec.rtcp_feedback[0].typ, "nack");

    let answer = answer(&mut negotiation, &second);
    assert_eq!(
        formats(&answer, "audio"),
        ("96", vec!["a=rtpmap:96 opus/48000/2"])
    );
    assert_eq!(
        formats(&answer, "video"),
        ("109", vec!["a=rtpmap:109 VP8/90000"])
    );

    // So does an offer from here.
    let library = RTCSessionDescription::offer(changed.sdp).unwrap();
    let offer = negotiation.offer(&library).unwrap();
    assert_eq!(formats(&offer, "audio").0, "96");
    assert_eq!(formats(&offer, "video").0, "109");
}

#[test]
fn formats_that_are_named_later_are_used() {
    let mut negotiation = Negotiation::default();
    let (line, rest) = vp8(120);
    offered(&mut negotiation, &sdp("a v", &[AUDIO, (&line, "v", &rest)])).unwrap();

    let text = sdp("a v", &[AUDIO, VIDEO]);
    let more = offered(&mut negotiation, &text).unwrap();
    let numbers: Vec<u8> = more
        .negotiated
        .video
        .iter()
        .map(|it| it.payload_type)
        .collect();
    assert_eq!(numbers, [120, 126, 97]);
    assert_eq!(
        formats(&answer(&mut negotiation, &text), "video").0,
        "120 126 97 127"
    );
}

#[test]
fn retransmissions_on_a_stream_that_nobody_can_find_are_not_wanted() {
    let mut negotiation = Negotiation::default();
    let silent = VIDEO.2.split("a=ssrc-group").next().unwrap();
    let text = sdp("a v", &[AUDIO, (VIDEO.0, "v", silent)]);
    assert_eq!(
        formats(&answer(&mut negotiation, &text), "video").0,
        "120 126 97"
    );

    // Nobody is there yet: it will be told.
    let later = format!("{silent}a=recvonly\r\n");
    let text = sdp("a v", &[AUDIO, (VIDEO.0, "v", &later)]);
    assert_eq!(
        formats(&answer(&mut negotiation, &text), "video").0,
        "120 126 97 127"
    );
}

#[test]
fn an_answer_may_have_other_payload_types() {
    let mut negotiation = Negotiation::default();
    let mut library = sdp("0 1", &[(AUDIO.0, "0", AUDIO.2), (VIDEO.0, "1", VIDEO.2)]);
    library = library.replace("a=ssrc:9 cname:x\r\n", "");
    let offer = RTCSessionDescription::offer(library).unwrap();
    assert_eq!(
        formats(&negotiation.offer(&offer).unwrap(), "video").0,
        "120 126 97 127"
    );

    let (line, rest) = vp8(101);
    let text = sdp("0 1", &[(AUDIO.0, "0", AUDIO.2), (&line, "1", &rest)]);
    let agreed = answered(&mut negotiation, &text).negotiated;
    assert_eq!(agreed.to_send(MediaKind::Video).unwrap().payload_type, 101);
    let received: Vec<u8> = agreed
        .received(MediaKind::Video)
        .iter()
        .map(|format| format.payload_type)
        .collect();
    assert_eq!(
        received,
        [120, 101],
        "the offer's, and what some use instead"
    );
    let numbers: Vec<u8> = negotiation
        .on_the_wire(MediaKind::Video)
        .unwrap()
        .iter()
        .map(|codec| codec.payload_type)
        .collect();
    assert_eq!(numbers, [120, 101]);
}

/// The payload types of the codecs, each with what it repairs.
fn on_the_wire(negotiation: &Negotiation) -> Vec<(u8, Option<u8>)> {
    let codecs = negotiation
        .on_the_wire(MediaKind::Video)
        .unwrap_or_default();
    codecs
        .iter()
        .map(|codec| {
            let repaired = codec.rtp_codec.sdp_fmtp_line.strip_prefix("apt=");
            (
                codec.payload_type,
                repaired.map(|number| number.parse().unwrap()),
            )
        })
        .collect()
}

/// VP8 as `number`, retransmitted as `repair`.
fn repaired_vp8(number: u8, repair: u8) -> (String, String) {
    (
        format!("video 9 UDP/TLS/RTP/SAVPF {number} {repair}"),
        format!(
            "a=rtpmap:{number} VP8/90000\r\na=rtpmap:{repair} rtx/90000\r\na=fmtp:{repair} apt={number}\r\n\
             a=ssrc-group:FID 8 9\r\na=ssrc:8 cname:x\r\na=ssrc:9 cname:x\r\n"
        ),
    )
}

#[test]
fn retransmissions_follow_the_payload_types() {
    let mut negotiation = Negotiation::default();
    let mut offer = |(line, rest): (String, String)| {
        let text = sdp("a v", &[AUDIO, (&line, "v", &rest)]);
        offered(&mut negotiation, &text).unwrap();
        assert_eq!(negotiation.streams(), [(7, None), (8, Some(9))]);
        on_the_wire(&negotiation)
    };

    assert_eq!(offer(repaired_vp8(120, 121)), []);
    // Only the retransmissions move.
    assert_eq!(offer(repaired_vp8(120, 99)), [(120, None), (99, Some(120))]);
    let both = [(108, None), (110, Some(108)), (120, None), (99, Some(120))];
    assert_eq!(offer(repaired_vp8(108, 110)), both);
    // The first numbers count for the whole call, others until they are replaced twice.
    let moved = [
        (100, None),
        (101, Some(100)),
        (108, None),
        (110, Some(108)),
        (120, None),
        (121, Some(120)),
    ];
    assert_eq!(offer(repaired_vp8(100, 101)), moved);
}

#[test]
fn an_answer_may_spell_a_profile_as_another_one() {
    let mut negotiation = Negotiation::default();
    let video = "a=rtpmap:102 H264/90000\r\na=fmtp:102 profile-level-id=42e01f;packetization-mode=1\r\n\
         a=rtpmap:106 H264/90000\r\na=fmtp:106 profile-level-id=42001f;packetization-mode=1\r\n";
    let library = sdp("1", &[("video 9 UDP/TLS/RTP/SAVPF 102 106", "1", video)]);
    let offer = RTCSessionDescription::offer(library).unwrap();
    negotiation.offer(&offer).unwrap();

    let video = "a=rtpmap:106 H264/90000\r\na=fmtp:106 profile-level-id=42c01f;packetization-mode=1\r\na=ssrc:8 cname:x\r\n";
    let text = sdp("1", &[("video 9 UDP/TLS/RTP/SAVPF 106", "1", video)]);
    let agreed = answered(&mut negotiation, &text).negotiated;
    assert_eq!(agreed.to_send(MediaKind::Video).unwrap().payload_type, 106);
    assert_eq!(agreed.received(MediaKind::Video)[0].payload_type, 106);
}

#[test]
fn the_numbers_of_the_description_are_taken_by_nothing_else() {
    let mut negotiation = Negotiation::default();
    // Retransmissions of the first format would be 98, and one of Tandem's own formats is 109.
    let video = "a=rtpmap:97 H264/90000\r\na=fmtp:97 profile-level-id=42e01f;packetization-mode=1\r\n\
         a=rtpmap:98 VP8/90000\r\na=rtpmap:99 rtx/90000\r\na=fmtp:99 apt=98\r\na=ssrc-group:FID 8 9\r\na=ssrc:8 cname:x\r\n";
    let text = sdp(
        "v a",
        &[("video 9 UDP/TLS/RTP/SAVPF 97 98 99", "v", video), AUDIO],
    );
    offered(&mut negotiation, &text).unwrap();
    assert_eq!(negotiation.on_the_wire(MediaKind::Video), None);
    assert_eq!(negotiation.on_the_wire(MediaKind::Audio), None);
}

proptest::proptest! {
    /// Whatever a partner calls its formats, they are told apart on both sides of the model.
    #[test]
    fn numbers_never_collide(
        numbers in proptest::collection::vec(0..=255_u8, 1..8),
        repaired in proptest::collection::vec(0..8_usize, 8),
        again in proptest::collection::vec(0..=255_u8, 1..8),
    ) {
        let mut negotiation = Negotiation::default();
        let mut before = None;
        // Another section has 109.
        let of_audio = |number: &u8| if *number == 109 { 110 } else { *number };
        let numbers: Vec<u8> = numbers.iter().map(of_audio).collect();
        let again: Vec<u8> = again.iter().map(of_audio).collect();
        for numbers in [&numbers, &again] {
            let mut media = String::new();
            for (index, number) in numbers.iter().enumerate() {
                let map = ["VP8/90000", "H264/90000", "rtx/90000"][index % 3];
                let apt = numbers[repaired[index] % numbers.len()];
                media += &format!("a=rtpmap:{number} {map}\r\na=fmtp:{number} apt={apt}\r\n");
            }
            let list: Vec<String> = numbers.iter().map(u8::to_string).collect();
            let line = format!("video 9 UDP/TLS/RTP/SAVPF {}", list.join(" "));
            let text = sdp("a v", &[AUDIO, (&line, "v", &media)]);
            let library = offered(&mut negotiation, &text).unwrap().sdp;

            let distinct = |text: &str| {
                let mut all: Vec<String> = lines(text, "a=rtpmap:")
                    .iter()
                    .map(|line| line.split(' ').next().unwrap().to_owned())
                    .collect();
                let named = all.len();
                all.sort_unstable();
                all.dedup();
                assert_eq!(all.len(), named, "{text}");
                all
            };
            let known = distinct(&library);
            let has_video = library.contains("m=video");
            proptest::prop_assert_eq!(known.len(), if has_video { 1 + 2 * 11 } else { 1 });
            proptest::prop_assert!(before.is_none_or(|before| before == known || !has_video));
            before = has_video.then_some(known);

            let both = [MediaKind::Audio, MediaKind::Video];
            let answer = negotiation.answer(&library_answers(&library), &both).unwrap();
            let (answered, offered) = (distinct(&answer), distinct_of(&text));
            proptest::prop_assert!(answered.iter().all(|it| offered.contains(it)), "{}", answer);
        }
    }
}

/// The payload types that a description maps, each once.
fn distinct_of(text: &str) -> Vec<String> {
    lines(text, "a=rtpmap:")
        .iter()
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect()
}
