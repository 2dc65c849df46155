//! The vectors of draft-irtf-cfrg-cpace-21, appendix B.3, which the guest page's twin uses, too.

use serde_json::Value;

use super::*;

fn vectors() -> Value {
    let text = include_str!("../../../../tests/vectors/cpace-ristretto255-sha512.json");
    serde_json::from_str(text).expect("the vectors are JSON")
}

fn bytes(hex: &Value) -> Vec<u8> {
    let digits = hex.as_str().expect("hexadecimal");
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("two digits"))
        .collect()
}

fn array(hex: &Value) -> [u8; 32] {
    bytes(hex).try_into().expect("32 bytes")
}

/// The vector's inputs.
struct Given {
    vectors: Value,
    password: Vec<u8>,
    channel: Vec<u8>,
    session: Vec<u8>,
}

impl Given {
    fn new() -> Self {
        let vectors = vectors();
        Self {
            password: bytes(&vectors["password"]),
            channel: bytes(&vectors["channel"]),
            session: bytes(&vectors["session"]),
            vectors,
        }
    }

    fn inputs(&self) -> Inputs<'_> {
        Inputs {
            password: &self.password,
            channel: &self.channel,
            session: &self.session,
        }
    }

    fn secret(&self, name: &str) -> Secret {
        Secret::new(self.inputs(), &array(&self.vectors[name])).expect("a scalar")
    }
}

#[test]
fn lengths_are_prepended_as_in_a_1_2() {
    for vector in vectors()["prependLength"].as_array().expect("a list") {
        let (input, expected) = match vector["inputLength"].as_u64() {
            Some(len) => {
                let input = vec![7; len as usize];
                let expected = [bytes(&vector["prefix"]), input.clone()].concat();
                (input, expected)
            }
            None => (bytes(&vector["input"]), bytes(&vector["output"])),
        };
        assert_eq!(lv_cat(&[&input]), expected, "{vector}");
    }

    assert_eq!(
        lv_cat(&[b"1234", b"5", b"", b"678"]),
        *b"\x041234\x015\x00\x03678",
        "A.1.4"
    );
    assert_eq!(
        prefixed_len(&[0; 16_384]),
        3 + 16_384,
        "three digits of LEB128"
    );
    assert_eq!(lv_cat(&[&[0; 16_384]])[..3], [0x80, 0x80, 0x01]);
}

#[test]
fn the_generator_is_that_of_b_3_1() {
    let given = Given::new();
    let text = generator_string(given.inputs());
    assert_eq!(*text, bytes(&given.vectors["generatorString"]));
    assert_eq!(
        hash(&[&text]).to_vec(),
        bytes(&given.vectors["generatorHash"])
    );
    assert_eq!(
        generator(given.inputs()).compress().to_bytes(),
        array(&given.vectors["generator"])
    );
}

#[test]
fn a_long_password_needs_no_padding() {
    for len in [107, 108, 109, 200] {
        let password = vec![b'x'; len];
        let inputs = Inputs {
            password: &password,
            channel: b"",
            session: b"",
        };
        let padding = BLOCK_BYTES.saturating_sub(18 + prefixed_len(&password) + 1);
        let expected = lv_cat(&[DOMAIN, &password, &vec![0; padding], b"", b""]);
        assert_eq!(*generator_string(inputs), expected, "{len} bytes");
    }
}

#[test]
fn both_sides_get_the_shares_and_the_key_of_b_3_2_to_b_3_5() {
    let given = Given::new();
    let vectors = &given.vectors;
    let (a, b) = (
        given.secret("initiatorScalar"),
        given.secret("responderScalar"),
    );
    assert_eq!(*a.share(), array(&vectors["initiatorShare"]));
    assert_eq!(*b.share(), array(&vectors["responderShare"]));

    let point = array(&vectors["sharedPoint"]);
    assert_eq!(
        scalar_mult_vfy(&a.scalar, b.share()).map(|p| *p),
        Some(point)
    );
    assert_eq!(
        scalar_mult_vfy(&b.scalar, a.share()).map(|p| *p),
        Some(point)
    );

    let (data_a, data_b) = (
        bytes(&vectors["initiatorData"]),
        bytes(&vectors["responderData"]),
    );
    let initiator = Public {
        share: a.share(),
        data: &data_a,
    };
    let responder = Public {
        share: b.share(),
        data: &data_b,
    };
    let transcript = lv_cat(&[
        initiator.share,
        initiator.data,
        responder.share,
        responder.data,
    ]);
    assert_eq!(transcript, bytes(&vectors["transcript"]));

    let keys = [a.key(initiator, responder), b.key(initiator, responder)].map(Option::unwrap);
    for key in &keys {
        assert_eq!(key.isk.to_vec(), bytes(&vectors["key"]));
    }

    let tag = keys[0].confirmation(initiator);
    assert!(
        keys[1].confirms(initiator, &tag),
        "the other side has the same key"
    );
    assert!(
        !keys[1].confirms(responder, &tag),
        "a confirmation is its sender's"
    );
}

#[test]
fn a_confirmation_is_the_mac_that_section_10_4_suggests() {
    let given = Given::new();
    let (a, b) = (
        given.secret("initiatorScalar"),
        given.secret("responderScalar"),
    );
    let initiator = Public {
        share: a.share(),
        data: b"ADa",
    };
    let responder = Public {
        share: b.share(),
        data: b"ADb",
    };
    let key = a.key(initiator, responder).expect("a key");

    // H.hash(b"CPaceMac" || sid || ISK), then HMAC over lv_cat(Ya, ADa).
    let text = [b"CPaceMac".as_slice(), &given.session, &key.isk].concat();
    let mac_key = digest::digest(&digest::SHA512, &text);
    let mac_key = hmac::Key::new(hmac::HMAC_SHA512, mac_key.as_ref());
    let message = [&[32], a.share().as_slice(), &[3], b"ADa"].concat();
    let expected = hmac::sign(&mac_key, &message);
    assert_eq!(key.confirmation(initiator).as_slice(), expected.as_ref());
}

#[test]
fn only_encodings_of_elements_other_than_the_identity_are_taken() {
    let vectors = &vectors()["multiplication"];
    let scalar = Scalar::from_canonical_bytes(array(&vectors["scalar"])).expect("a scalar");
    let product = scalar_mult_vfy(&scalar, &array(&vectors["valid"]));
    assert_eq!(
        product.map(|point| *point),
        Some(array(&vectors["product"])),
        "B.3.10"
    );

    for invalid in vectors["invalid"].as_array().expect("a list") {
        assert!(
            scalar_mult_vfy(&scalar, &array(invalid)).is_none(),
            "B.3.11: {invalid}"
        );
    }

    // RFC 9496 §4.3.1: other spellings of zero and of the order, negative elements, no square root.
    let mut order = [0xff; 32];
    order[0] = 0xed;
    order[31] = 0x7f;
    let mut one = [0; 32];
    one[0] = 1;
    for invalid in [order, one, [0xff; 32], [0x80; 32]] {
        assert!(scalar_mult_vfy(&scalar, &invalid).is_none(), "{invalid:?}");
    }
}

#[test]
fn an_invalid_share_gives_no_key_in_either_role() {
    let given = Given::new();
    let side = given.secret("initiatorScalar");
    for invalid in given.vectors["multiplication"]["invalid"]
        .as_array()
        .expect("a list")
    {
        let local = Public {
            share: side.share(),
            data: b"",
        };
        let remote = array(invalid);
        let remote = Public {
            share: &remote,
            data: b"",
        };
        assert!(side.key(local, remote).is_none(), "as initiator, {invalid}");
        assert!(side.key(remote, local).is_none(), "as responder, {invalid}");
    }
}

#[test]
fn every_input_changes_the_key() {
    let given = Given::new();
    let inputs = given.inputs();
    let random = array(&given.vectors["responderScalar"]);
    let a = given.secret("initiatorScalar");
    let key = |b: &Secret, data: &[u8]| {
        let initiator = Public {
            share: a.share(),
            data: b"ADa",
        };
        let responder = Public {
            share: b.share(),
            data,
        };
        let keys = [a.key(initiator, responder), b.key(initiator, responder)];
        keys.map(|key| key.expect("a key").isk)
    };

    let same = Secret::new(inputs, &random).expect("a scalar");
    let [first, second] = key(&same, b"ADb");
    assert_eq!(first, second);
    assert_ne!(key(&same, b"other")[0], first, "the data");

    for (what, inputs) in [
        (
            "the password",
            Inputs {
                password: b"password",
                ..inputs
            },
        ),
        (
            "the channel",
            Inputs {
                channel: b"",
                ..inputs
            },
        ),
        (
            "the session",
            Inputs {
                session: b"",
                ..inputs
            },
        ),
    ] {
        let [first, second] = key(&Secret::new(inputs, &random).expect("a scalar"), b"ADb");
        assert_ne!(first, second, "{what}");
    }
}

#[test]
fn random_bytes_that_are_all_zero_are_refused() {
    let given = Given::new();
    assert!(Secret::new(given.inputs(), &[0; 32]).is_none());

    let mut only_unused = [0; 32];
    only_unused[31] = 0xf0;
    assert!(Secret::new(given.inputs(), &only_unused).is_none());
    assert!(
        Secret::new(given.inputs(), &[0xff; 32]).is_some(),
        "below the order"
    );
}

#[test]
fn a_refusal_confirms_nothing() {
    let given = Given::new();
    let (a, b) = (
        given.secret("initiatorScalar"),
        given.secret("responderScalar"),
    );
    let initiator = Public {
        share: a.share(),
        data: b"",
    };
    let responder = Public {
        share: b.share(),
        data: b"",
    };
    let key = b.key(initiator, responder).expect("a key");
    assert!(!key.confirms(initiator, &a.refusal()));
    assert_ne!(a.refusal(), b.refusal());
}
