//! The protocol's rules for messages, one test each.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn parse(value: &serde_json::Value) -> Result<ClientEnvelope, Fault> {
    parse_client(value.to_string().as_bytes())
}

fn fault(value: &serde_json::Value) -> Fault {
    parse(value).expect_err(&format!("{value} must be rejected"))
}

fn profile(fields: serde_json::Value) -> Result<FindPartner, Fault> {
    let mut message = fields;
    message["type"] = "find_partner".into();
    parse(&message).map(|envelope| match envelope.message {
        ClientMessage::FindPartner(profile) => profile,
        other => panic!("not a find_partner: {other:?}"),
    })
}

#[test]
fn only_a_single_json_object_is_a_message() {
    for text in [
        "",
        "x",
        "[]",
        "[{}]",
        "17",
        "null",
        "\"find_partner\"",
        "{\"type\":\"bye\"",
        "{} {}",
    ] {
        let fault = parse_client(text.as_bytes()).expect_err(text);
        assert_eq!(fault.code, ErrorCode::BadJson, "{text:?}");
    }

    assert_eq!(
        parse_client(b"{\"type\":\"bye\xff\"}").unwrap_err().code,
        ErrorCode::BadJson,
        "not UTF-8"
    );
}

#[test]
fn a_fault_names_the_field_and_carries_the_id() {
    for (value, code, field) in [
        (json!({}), ErrorCode::BadMessage, "`type`"),
        (json!({ "type": null }), ErrorCode::BadMessage, "`type`"),
        (json!({ "type": 5 }), ErrorCode::BadMessage, "`type`"),
        (
            json!({ "type": "dance" }),
            ErrorCode::UnknownType,
            "`dance`",
        ),
        (
            json!({ "type": "webrtc_offer", "offer": {} }),
            ErrorCode::BadMessage,
            "`to`",
        ),
        (
            json!({ "type": "webrtc_offer", "to": ["a", "b"], "offer": {} }),
            ErrorCode::BadMessage,
            "`to`",
        ),
        (
            json!({ "type": "webrtc_offer", "to": "a" }),
            ErrorCode::BadMessage,
            "`offer`",
        ),
        (
            json!({ "type": "webrtc_offer", "to": "a", "offer": null }),
            ErrorCode::BadMessage,
            "`offer`",
        ),
        (
            json!({ "type": "webrtc_answer", "to": "a" }),
            ErrorCode::BadMessage,
            "`answer`",
        ),
        (
            json!({ "type": "ice_candidate", "to": "a" }),
            ErrorCode::BadMessage,
            "`candidate`",
        ),
        (
            json!({ "type": "end_session" }),
            ErrorCode::BadMessage,
            "`sessionId`",
        ),
        (
            json!({ "type": "end_session", "sessionId": "s", "reason": {} }),
            ErrorCode::BadMessage,
            "`reason`",
        ),
        (
            json!({ "type": "next", "sessionId": 1 }),
            ErrorCode::BadMessage,
            "`sessionId`",
        ),
        (
            json!({ "type": "report", "sessionId": "s" }),
            ErrorCode::BadMessage,
            "`category`",
        ),
        (
            json!({ "type": "report", "sessionId": "s", "category": "x" }),
            ErrorCode::BadMessage,
            "`category`",
        ),
        (
            // Four characters stand for three bytes, so five are none.
            json!({ "type": "report", "sessionId": "s", "category": "spam", "snapshot": "/9j/4" }),
            ErrorCode::BadMessage,
            "`snapshot`",
        ),
        (
            // Not a JPEG.
            json!({ "type": "report", "sessionId": "s", "category": "spam", "snapshot": "AAAA" }),
            ErrorCode::BadMessage,
            "`snapshot`",
        ),
        (
            json!({ "type": "report", "sessionId": "s", "category": "spam", "snapshot": "/9j/-_-_" }),
            ErrorCode::BadMessage,
            "`snapshot`",
        ),
        (
            // 1 byte more than 32 KiB.
            json!({
                "type": "report",
                "sessionId": "s",
                "category": "spam",
                "snapshot": format!("/9j/{}", "A".repeat(43_688)),
            }),
            ErrorCode::BadMessage,
            "`snapshot`",
        ),
        (
            json!({ "type": "block" }),
            ErrorCode::BadMessage,
            "`partnerId`",
        ),
        (
            json!({ "type": "resume", "resumeToken": "t" }),
            ErrorCode::BadMessage,
            "`lastSeq`",
        ),
        (
            json!({ "type": "resume", "resumeToken": "t", "lastSeq": -1 }),
            ErrorCode::BadMessage,
            "`lastSeq`",
        ),
        (json!({ "type": "ping" }), ErrorCode::BadMessage, "`t`"),
        (
            json!({ "type": "listen" }),
            ErrorCode::BadMessage,
            "`rooms`",
        ),
        (
            json!({ "type": "listen", "rooms": "r" }),
            ErrorCode::BadMessage,
            "`rooms`",
        ),
        (
            json!({ "type": "listen", "rooms": ["a b"] }),
            ErrorCode::BadMessage,
            "`rooms`",
        ),
        (
            json!({ "type": "listen", "rooms": vec!["r"; MAX_LISTEN_ROOMS + 1] }),
            ErrorCode::BadMessage,
            "`rooms`",
        ),
        (
            json!({ "type": "accept" }),
            ErrorCode::BadMessage,
            "`knockId`",
        ),
        (
            json!({ "type": "accept", "knockId": "k", "userName": "" }),
            ErrorCode::BadMessage,
            "`userName`",
        ),
        (
            json!({ "type": "decline", "knockId": 1 }),
            ErrorCode::BadMessage,
            "`knockId`",
        ),
    ] {
        let mut value = value;
        value["id"] = "req-1".into();
        let fault = fault(&value);
        assert_eq!(fault.code, code, "{value}");
        assert!(
            fault.message.contains(field),
            "{value}: the sentence names {field}: {fault}"
        );
        assert_eq!(
            fault.id.as_ref().map(RequestId::as_str),
            Some("req-1"),
            "{value}: the id comes back"
        );
    }
}

#[test]
fn an_id_is_a_string_of_at_most_64_bytes() {
    let long = "x".repeat(64);
    let envelope = parse(&json!({ "type": "bye", "id": long })).unwrap();
    assert_eq!(
        envelope.id.as_ref().map(RequestId::as_str),
        Some(long.as_str())
    );

    assert!(
        parse(&json!({ "type": "bye", "id": null }))
            .unwrap()
            .id
            .is_none(),
        "null is the same as missing"
    );

    for id in [json!(1), json!("é".repeat(33)), json!(["a"])] {
        let fault = fault(&json!({ "type": "bye", "id": id }));
        assert!(
            fault.message.contains("`id`") && fault.id.is_none(),
            "the sentence names a bad id and does not repeat it: {fault}"
        );
    }
}

#[test]
fn an_error_never_quotes_private_text() {
    for secret in ["Jane Doe", "v=0\r\no=- 1 IN IP4 192.0.2.7", "candidate:1"] {
        let fault = fault(&json!({ "type": secret }));
        assert_eq!(fault.code, ErrorCode::UnknownType);
        assert!(
            !fault.message.contains(secret),
            "the sentence does not quote it: {fault}"
        );
    }
}

#[test]
fn a_message_of_exactly_the_limit_is_accepted() {
    let frame = |padding: usize| format!("{{\"type\":\"bye\",\"x\":\"{}\"}}", "x".repeat(padding));
    let overhead = frame(0).len();
    assert!(
        parse_client(frame(MAX_MESSAGE_BYTES - overhead).as_bytes()).is_ok(),
        "64 KiB"
    );

    let fault = parse_client(frame(MAX_MESSAGE_BYTES - overhead + 1).as_bytes()).unwrap_err();
    assert_eq!(
        fault.code,
        ErrorCode::MessageTooLarge,
        "64 KiB and one byte"
    );
}

#[test]
fn profiles_are_held_to_their_limits() {
    assert_eq!(profile(json!({})).unwrap(), FindPartner::default());
    let nulls = json!({ "userName": null, "userAge": null, "userLocation": null, "userPicture": null, "room": null, "interests": null });
    assert_eq!(
        profile(nulls).unwrap(),
        FindPartner::default(),
        "null is the same as missing"
    );

    let full = json!({
        "userName": "é".repeat(40), "userAge": 18, "userLocation": "ß".repeat(80),
        "userPicture": format!("data:image/png;base64,{}", "A".repeat(MAX_PICTURE_DATA_BYTES - 22)),
        "room": "aZ09-_".repeat(10) + "abcd", "interests": ["a", "b", "a"], "unknown": { "x": [1] },
    });

    let accepted = profile(full).expect("everything is exactly at its limit, in code points");
    assert_eq!(accepted.interests, ["a", "b"], "an interest counts once");
    assert_eq!(
        profile(json!({ "userName": "\u{7}J\u{0}o\u{9b}" }))
            .unwrap()
            .user_name
            .as_deref(),
        Some("Jo")
    );

    // The protocol allows it, and another client may send it.
    for blank in [" ", "\u{A0}\u{3000}", " \u{3164}\u{200B}", "\u{2800}"] {
        let accepted = profile(json!({ "userName": blank })).expect("it is within the limits");
        assert_eq!(accepted.user_name, None, "nobody can see it: {blank:?}");
    }

    assert_eq!(
        profile(json!({ "userAge": 120 })).unwrap().user_age,
        Some(120)
    );

    for (field, value) in [
        ("userName", json!("")),
        ("userName", json!("\n")),
        ("userName", json!("x".repeat(41))),
        ("userName", json!(7)),
        ("userAge", json!(17)),
        ("userAge", json!(121)),
        ("userAge", json!(20.5)),
        ("userAge", json!("20")),
        ("userAge", json!(276)),
        ("userLocation", json!("x".repeat(81))),
        ("userPicture", json!("http://x.example/p.png")),
        ("userPicture", json!("javascript:alert(1)")),
        ("userPicture", json!("data:text/html,x")),
        (
            "userPicture",
            json!(format!("https://x.example/{}", "x".repeat(500))),
        ),
        (
            "userPicture",
            json!(format!(
                "data:image/png,{}",
                "x".repeat(MAX_PICTURE_DATA_BYTES)
            )),
        ),
        ("room", json!("")),
        ("room", json!("a b")),
        ("room", json!("é")),
        ("room", json!("x".repeat(65))),
        ("interests", json!("a")),
        ("interests", json!([1])),
        ("interests", json!([""])),
        ("interests", json!(["x".repeat(33)])),
        (
            "interests",
            json!(["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"]),
        ),
    ] {
        let fault = profile(json!({ field: value })).expect_err(field);
        assert_eq!(fault.code, ErrorCode::BadMessage, "{field}");
        assert!(
            fault.message.contains(&format!("`{field}`")),
            "the sentence names {field}: {fault}"
        );
    }
}

#[test]
fn a_list_of_rooms_has_at_most_20_and_each_counts_once() {
    let rooms: Vec<String> = (0..MAX_LISTEN_ROOMS).map(|n| format!("room-{n}")).collect();
    for (sent, read) in [
        (json!([]), Vec::new()),
        (json!(["r", "7", "r"]), vec!["r".to_owned(), "7".to_owned()]),
        (json!(rooms), rooms),
    ] {
        let envelope = parse(&json!({ "type": "listen", "rooms": sent })).expect("a good list");
        let ClientMessage::Listen { rooms } = envelope.message else {
            panic!("not a listen: {envelope:?}")
        };
        assert_eq!(rooms, read, "{sent}");
    }
}

#[test]
fn a_server_says_what_it_can_do() {
    let registered = |more: &str| {
        let text = format!(
            r#"{{"type":"user_registered","userId":"u","socketId":"s","resumeToken":"t","protocol":1,"heartbeatMs":1,"silentMs":1,"resumeMs":1,"maxMessageBytes":65536{more}}}"#
        );
        match parse_server(&text).expect("a good message").message {
            ServerMessage::UserRegistered(registered) => registered,
            other => panic!("{other:?}"),
        }
    };

    let old = registered("");
    assert!(!old.can(Capability::ClaimRoom) && !old.can(Capability::Ring));

    let new = registered(r#","capabilities":["teleport","ring"]"#);
    assert!(new.can(Capability::Ring) && !new.can(Capability::ClaimRoom));
}

#[test]
fn a_candidate_may_be_null() {
    let envelope =
        parse_client(br#"{"type":"ice_candidate","to":"a","candidate": null }"#).unwrap();
    match envelope.message {
        ClientMessage::IceCandidate { candidate, .. } => assert_eq!(candidate.get(), "null"),
        other => panic!("not a candidate: {other:?}"),
    }
}

#[test]
fn client_messages_read_back_as_they_were_written() {
    let raw = |text: &str| RawValue::from_string(text.into()).unwrap();
    let all = [
        ClientMessage::FindPartner(FindPartner {
            user_name: Some("Jo".into()),
            user_age: Some(30),
            room: Some("r".into()),
            interests: vec!["a".into()],
            ..FindPartner::default()
        }),
        ClientMessage::ClaimRoom(ClaimRoom::default()),
        ClientMessage::ClaimRoom(ClaimRoom {
            former: Some(FormerClaim {
                room: "7".into(),
                claim_token: "t".to_owned().into(),
            }),
        }),
        ClientMessage::ReleaseRoom { room: "7".into() },
        ClientMessage::Listen { rooms: Vec::new() },
        ClientMessage::Listen {
            rooms: vec!["7".into(), "r".into()],
        },
        ClientMessage::Accept(KnockId::from("k").into()),
        ClientMessage::Accept(Accept {
            user_name: Some("Jo".into()),
            user_age: Some(30),
            user_location: Some("Bath".into()),
            user_picture: Some("https://x.example/p.png".into()),
            ..KnockId::from("k").into()
        }),
        ClientMessage::Decline {
            knock_id: "k".into(),
        },
        ClientMessage::CancelSearch,
        ClientMessage::WebrtcOffer {
            to: "s".into(),
            offer: raw(r#"{"type":"offer","sdp":"v=0\r\n"}"#),
        },
        ClientMessage::WebrtcAnswer {
            to: "s".into(),
            answer: raw(r#"{ "sdp" : "\u00e9" }"#),
        },
        ClientMessage::IceCandidate {
            to: "s".into(),
            candidate: raw("null"),
        },
        ClientMessage::EndSession {
            session_id: "x".into(),
            reason: Some("done".into()),
        },
        ClientMessage::Next { session_id: None },
        ClientMessage::Next {
            session_id: Some("x".into()),
        },
        ClientMessage::Report {
            session_id: "x".into(),
            category: ReportCategory::Minor,
            text: None,
            snapshot: Snapshot::parse(format!("/9j/{}=", "A".repeat(43_687))),
        },
        ClientMessage::Block {
            partner_id: "u".into(),
        },
        ClientMessage::GetIceServers,
        ClientMessage::Resume {
            resume_token: "t".into(),
            last_seq: 7,
        },
        ClientMessage::Ping { t: raw("1.5e3") },
        ClientMessage::Bye,
    ];

    for message in all {
        let kind = message.kind();
        let text = serde_json::to_string(&ClientEnvelope {
            message,
            id: Some("i".into()),
        })
        .unwrap();
        assert!(text.contains(&format!("\"type\":\"{kind}\"")), "{text}");
        let back = parse_client_text(&text).unwrap_or_else(|fault| panic!("{text}: {fault}"));

        assert_eq!(
            serde_json::to_string(&back).unwrap(),
            text,
            "{kind} reads back as it was written"
        );
    }
}

#[test]
fn server_messages_use_the_names_of_the_protocol() {
    let texts = [
        r#"{"type":"user_registered","userId":"u","socketId":"s","resumeToken":"t","protocol":1,"heartbeatMs":25000,"silentMs":60000,"resumeMs":0,"maxMessageBytes":65536,"iceServers":[{"urls":["stun:x"]}]}"#,
        r#"{"type":"user_registered","userId":"u","socketId":"s","resumeToken":"t","protocol":1,"heartbeatMs":25000,"silentMs":60000,"resumeMs":0,"maxMessageBytes":65536,"iceServers":[],"capabilities":["claim_room","ring"]}"#,
        r#"{"type":"room_claimed","room":"7","expiresMs":600000}"#,
        r#"{"type":"room_claimed","room":"7","expiresMs":600000,"claimToken":"t"}"#,
        r#"{"type":"room_released","room":"7","id":"i"}"#,
        r#"{"type":"searching"}"#,
        r#"{"type":"searching","room":"r","id":"i"}"#,
        r#"{"type":"searching","room":"r","ringing":true}"#,
        r#"{"type":"listening","rooms":20,"id":"i"}"#,
        r#"{"type":"knock","knockId":"k","room":"r","userName":"Anonymous","userPicture":null}"#,
        r#"{"type":"knock_ended","knockId":"k","reason":"expired"}"#,
        r#"{"type":"search_cancelled"}"#,
        r#"{"type":"session_ended","sessionId":"x"}"#,
        r#"{"type":"blocked","partnerId":"u"}"#,
        r#"{"type":"partner_found","partnerId":"u","sessionId":"x","socketId":"s","userName":"Anonymous","userAge":null,"userLocation":"Unknown","userPicture":null,"initiator":true,"interests":[]}"#,
        r#"{"type":"webrtc_offer","offer":{ "a" : 1.0 },"from":"s","sessionId":"x","seq":1}"#,
        r#"{"type":"webrtc_answer","answer":"\u0041","from":"s","sessionId":"x","seq":2}"#,
        r#"{"type":"ice_candidate","candidate":null,"from":"s","sessionId":"x","seq":3}"#,
        r#"{"type":"partner_left","sessionId":"x","reason":"node_lost"}"#,
        r#"{"type":"partner_reconnecting","sessionId":"x"}"#,
        r#"{"type":"partner_resumed","sessionId":"x"}"#,
        r#"{"type":"resumed","missed":0}"#,
        r#"{"type":"ice_servers","iceServers":[],"ttl":60}"#,
        r#"{"type":"report_received","reportId":"r"}"#,
        r#"{"type":"server_draining","reconnectAfterMs":500}"#,
        r#"{"type":"pong","t":1}"#,
        r#"{"type":"error","code":"not_partner","message":"No."}"#,
    ];

    for text in texts {
        let envelope = parse_server(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(
            serde_json::to_string(&envelope).unwrap(),
            text,
            "names, order and payload are those of the protocol"
        );
        assert!(text.contains(&format!("\"type\":\"{}\"", envelope.message.kind())));
    }
}

#[test]
fn a_client_tolerates_what_later_servers_add() {
    let left =
        parse_server(r#"{"type":"partner_left","sessionId":"x","reason":"abducted","more":[]}"#)
            .unwrap();
    assert!(matches!(
        left.message,
        ServerMessage::PartnerLeft(PartnerLeft {
            reason: LeaveReason::Other,
            ..
        })
    ));

    let error = parse_server(r#"{"type":"error","code":"teapot","message":"x"}"#).unwrap();
    assert!(matches!(
        error.message,
        ServerMessage::Error(ErrorReport {
            code: ErrorCode::Other,
            ..
        })
    ));

    assert!(matches!(
        parse_server(r#"{"type":"news"}"#),
        Err(ServerMessageError::UnknownType)
    ));

    let ended = parse_server(r#"{"type":"knock_ended","knockId":"k","reason":"bored"}"#).unwrap();
    assert!(matches!(
        ended.message,
        ServerMessage::KnockEnded(KnockEnded {
            reason: KnockEnd::Other,
            ..
        })
    ));

    let secret = parse_server(r#"{"type":"pong","t":1,"id":["candidate:1"]}"#).unwrap_err();
    assert!(
        !secret.to_string().contains("candidate"),
        "the error does not quote the message: {secret}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_the_parsers_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse_client(&bytes);
        let _ = parse_server(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn no_json_makes_the_parsers_panic(text in r#"\{("(type|id|to|userAge|interests|room|rooms|claimToken|knockId|lastSeq|t)":("(ping|next|resume|find_partner|listen|accept|knock|claim_room|release_room)"|-?[0-9]{1,25}(\.[0-9]{1,3})?(e[0-9]{1,3})?|null|\[\]|\{\}),?){0,6}\}?"#) {
        let _ = parse_client(text.as_bytes());
        let _ = parse_server(&text);
    }

    #[test]
    fn any_payload_is_relayed_byte_for_byte(sdp in any::<String>(), spaces in " {0,3}") {
        let payload = format!("{{{spaces}\"sdp\":{spaces}{}}}", serde_json::to_string(&sdp).unwrap());
        let text = format!("{{\"offer\":{payload},\"to\":\"s\",\"type\":\"webrtc_offer\"}}");
        let envelope = parse_client_text(&text).unwrap();
        let ClientMessage::WebrtcOffer { offer, .. } = envelope.message else { panic!("an offer") };
        prop_assert_eq!(offer.get(), payload.as_str());
        let relayed = RelayedOffer { offer, from: "f".into(), session_id: "x".into(), seq: 1 };
        let text = serde_json::to_string(&ServerEnvelope::from(ServerMessage::WebrtcOffer(relayed))).unwrap();
        prop_assert!(text.contains(&payload), "the relayed text contains the payload as it was sent");
    }
}
