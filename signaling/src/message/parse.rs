//! Parses what a client sent; a bad message becomes a fault that names the field.

use serde_json::value::RawValue;

use super::fields::Fields;
use super::limits::{clean_within, max_picture_bytes};
use super::*;

/// Parses one message of a client from untrusted bytes.
///
/// # Errors
/// A [`Fault`] with one of the codes `bad_json`, `bad_message`, `unknown_type` and
/// `message_too_large`, and with the message's `id` if it has a valid one.
pub fn parse_client(bytes: &[u8]) -> Result<ClientEnvelope, Fault> {
    let text = std::str::from_utf8(bytes).map_err(|_| {
        Fault::new(
            ErrorCode::BadJson,
            "The message is not UTF-8 text: send one JSON object.",
        )
    })?;

    parse_client_text(text)
}

/// The same as [`parse_client`] for text that is known to be UTF-8.
///
/// # Errors
/// As [`parse_client`].
pub fn parse_client_text(text: &str) -> Result<ClientEnvelope, Fault> {
    if text.len() > MAX_MESSAGE_BYTES {
        return Err(Fault::new(
            ErrorCode::MessageTooLarge,
            format!("A message may have at most {MAX_MESSAGE_BYTES} bytes."),
        ));
    }

    // The text of a `serde_json` error quotes values, which may be private.
    let fields = Fields::parse(text).map_err(|_| {
        Fault::new(
            ErrorCode::BadJson,
            "The message is not a JSON object: send one object per frame.",
        )
    })?;

    let id = request_id(&fields)?;
    match message(&fields) {
        Ok(message) => Ok(ClientEnvelope { message, id }),
        Err(fault) => Err(fault.with_id(id.as_ref())),
    }
}

fn request_id(fields: &Fields<'_>) -> Result<Option<RequestId>, Fault> {
    match fields.optional_string("id")? {
        Some(id) if id.len() > MAX_REQUEST_ID_BYTES => Err(Fault::field(
            "id",
            &format!("must have at most {MAX_REQUEST_ID_BYTES} bytes"),
        )),
        id => Ok(id.map(RequestId::from)),
    }
}

fn message(fields: &Fields<'_>) -> Result<ClientMessage, Fault> {
    let kind = fields.required_string("type")?;
    Ok(match kind.as_str() {
        "find_partner" => ClientMessage::FindPartner(find_partner(fields)?),
        "claim_room" => ClientMessage::ClaimRoom(ClaimRoom {
            former: former_claim(fields)?,
        }),
        "release_room" => ClientMessage::ReleaseRoom {
            room: room("room", fields.required_string("room")?)?,
        },
        "listen" => ClientMessage::Listen {
            rooms: rooms(fields.required("rooms")?)?,
        },
        "accept" => ClientMessage::Accept(accept(fields)?),
        "decline" => ClientMessage::Decline {
            knock_id: knock_id(fields)?,
        },
        "cancel_search" => ClientMessage::CancelSearch,
        "webrtc_offer" => ClientMessage::WebrtcOffer {
            to: to(fields)?,
            offer: fields.required("offer")?.to_owned(),
        },
        "webrtc_answer" => ClientMessage::WebrtcAnswer {
            to: to(fields)?,
            answer: fields.required("answer")?.to_owned(),
        },
        "ice_candidate" => ClientMessage::IceCandidate {
            to: to(fields)?,
            candidate: fields
                .raw("candidate")
                .ok_or_else(|| Fault::field("candidate", "is missing"))?
                .to_owned(),
        },
        "end_session" => ClientMessage::EndSession {
            session_id: fields.required_string("sessionId")?.into(),
            reason: fields
                .optional_string("reason")?
                .as_deref()
                .map(remove_control_characters),
        },
        "next" => ClientMessage::Next {
            session_id: fields.optional_string("sessionId")?.map(SessionId::from),
        },
        "report" => ClientMessage::Report {
            session_id: fields.required_string("sessionId")?.into(),
            category: category(fields.required("category")?)?,
            text: fields
                .optional_string("text")?
                .map(|text| text_within("text", &text, 0, MAX_REPORT_CHARS))
                .transpose()?,
            snapshot: fields
                .optional_string("snapshot")?
                .map(|base64| {
                    Snapshot::parse(base64).ok_or_else(|| {
                        Fault::field("snapshot", "must be a JPEG of at most 32 KiB in base64")
                    })
                })
                .transpose()?,
        },
        "block" => ClientMessage::Block {
            partner_id: fields.required_string("partnerId")?.into(),
        },
        "get_ice_servers" => ClientMessage::GetIceServers,
        "resume" => ClientMessage::Resume {
            resume_token: fields.required_string("resumeToken")?,
            last_seq: fields
                .optional_whole("lastSeq", 0, MAX_LAST_SEQ)?
                .ok_or_else(|| Fault::field("lastSeq", "is missing or null"))?,
        },
        "ping" => ClientMessage::Ping {
            t: fields.required("t")?.to_owned(),
        },
        "bye" => ClientMessage::Bye,
        _ => return Err(Fault::new(ErrorCode::UnknownType, unknown_type(&kind))),
    })
}

/// Quotes the type only if it looks like one: an error must not echo what may be private.
fn unknown_type(kind: &str) -> String {
    let looks_like_a_type =
        (1..=32).contains(&kind.len()) && kind.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');

    if looks_like_a_type {
        format!("There is no message of type `{kind}`.")
    } else {
        "There is no message of this type.".into()
    }
}

fn to(fields: &Fields<'_>) -> Result<SocketId, Fault> {
    fields.required_string("to").map(SocketId::from)
}

fn category(value: &RawValue) -> Result<ReportCategory, Fault> {
    serde_json::from_str(value.get()).map_err(|_| {
        Fault::field(
            "category",
            "must be one of nudity, harassment, minor, spam, other",
        )
    })
}

fn find_partner(fields: &Fields<'_>) -> Result<FindPartner, Fault> {
    Ok(FindPartner {
        user_name: user_name(fields)?,
        user_age: user_age(fields)?,
        user_location: user_location(fields)?,
        user_picture: user_picture(fields)?,
        room: fields
            .optional_string("room")?
            .map(|code| room("room", code))
            .transpose()?,
        must_exist: fields.optional_bool("mustExist")?,
        interests: fields
            .optional("interests")
            .map(interests)
            .transpose()?
            .unwrap_or_default(),
    })
}

/// Without a `claimToken`, a `room` is ignored, like any unknown field.
fn former_claim(fields: &Fields<'_>) -> Result<Option<FormerClaim>, Fault> {
    let Some(token) = fields.optional_string("claimToken")? else {
        return Ok(None);
    };

    if token.len() > MAX_CLAIM_TOKEN_BYTES {
        return Err(Fault::field(
            "claimToken",
            &format!("must have at most {MAX_CLAIM_TOKEN_BYTES} bytes"),
        ));
    }

    Ok(Some(FormerClaim {
        room: room("room", fields.required_string("room")?)?,
        claim_token: token.into(),
    }))
}

fn accept(fields: &Fields<'_>) -> Result<Accept, Fault> {
    Ok(Accept {
        knock_id: knock_id(fields)?,
        user_name: user_name(fields)?,
        user_age: user_age(fields)?,
        user_location: user_location(fields)?,
        user_picture: user_picture(fields)?,
    })
}

fn knock_id(fields: &Fields<'_>) -> Result<KnockId, Fault> {
    fields.required_string("knockId").map(KnockId::from)
}

/// A name that nobody can see is within the protocol's limits, and the same as none.
fn user_name(fields: &Fields<'_>) -> Result<Option<String>, Fault> {
    let name = fields
        .optional_string("userName")?
        .map(|name| text_within("userName", &name, 1, MAX_USER_NAME_CHARS))
        .transpose()?;
    Ok(name.filter(|name| can_be_seen(name)))
}

fn user_age(fields: &Fields<'_>) -> Result<Option<u8>, Fault> {
    let (youngest, oldest) = (u64::from(*USER_AGES.start()), u64::from(*USER_AGES.end()));
    let age = fields.optional_whole("userAge", youngest, oldest)?;

    Ok(age.and_then(|age| u8::try_from(age).ok()))
}

fn user_location(fields: &Fields<'_>) -> Result<Option<String>, Fault> {
    fields
        .optional_string("userLocation")?
        .map(|location| text_within("userLocation", &location, 0, MAX_USER_LOCATION_CHARS))
        .transpose()
}

fn user_picture(fields: &Fields<'_>) -> Result<Option<String>, Fault> {
    fields
        .optional_string("userPicture")?
        .as_deref()
        .map(picture)
        .transpose()
}

/// The text without control characters, if `min` to `max` code points are left.
fn text_within(name: &str, text: &str, min: usize, max: usize) -> Result<String, Fault> {
    clean_within(text, min..=max).ok_or_else(|| {
        let rule = match min {
            0 => format!("must have at most {max} characters"),
            _ => format!("must have {min} to {max} characters"),
        };

        Fault::field(name, &rule)
    })
}

fn picture(url: &str) -> Result<String, Fault> {
    let url = remove_control_characters(url);
    let max = max_picture_bytes(&url).ok_or_else(|| {
        Fault::field("userPicture", "must be a `data:image/…` or an `https:` URL")
    })?;

    if url.len() > max {
        return Err(Fault::field(
            "userPicture",
            &format!("must have at most {max} bytes as a URL of this kind"),
        ));
    }

    Ok(url)
}

fn room(field: &str, code: String) -> Result<String, Fault> {
    if is_room_code(&code) {
        return Ok(code);
    }

    Err(Fault::field(
        field,
        &format!("must have 1 to {MAX_ROOM_CHARS} of the characters A–Z a–z 0–9 - _"),
    ))
}

/// Each room counts once, in the order of the client.
fn rooms(value: &RawValue) -> Result<Vec<String>, Fault> {
    let list = strings("rooms", value, MAX_LISTEN_ROOMS)?;

    let mut rooms = Vec::with_capacity(list.len());
    for code in list {
        let code = room("rooms", code)?;
        if !rooms.contains(&code) {
            rooms.push(code);
        }
    }

    Ok(rooms)
}

fn strings(field: &str, value: &RawValue, max: usize) -> Result<Vec<String>, Fault> {
    let list: Vec<String> = serde_json::from_str(value.get())
        .map_err(|_| Fault::field(field, "must be an array of strings"))?;
    if list.len() > max {
        return Err(Fault::field(
            field,
            &format!("must have at most {max} entries"),
        ));
    }

    Ok(list)
}

/// Each interest counts once, in the order of the client.
fn interests(value: &RawValue) -> Result<Vec<String>, Fault> {
    let list = strings("interests", value, MAX_INTERESTS)?;

    let mut interests = Vec::with_capacity(list.len());
    for interest in &list {
        let interest = clean_interest(interest).ok_or_else(|| {
            Fault::field(
                "interests",
                &format!("must have entries of 1 to {MAX_INTEREST_CHARS} characters"),
            )
        })?;

        if !interests.contains(&interest) {
            interests.push(interest);
        }
    }

    Ok(interests)
}
