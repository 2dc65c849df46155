//! The examples of `docs/protocol.md` are true: they parse with the wire types, and every type of
//! message has one.

use std::collections::BTreeSet;

use tandem_signaling::message::{parse_client_text, parse_server};

/// The JSON examples under a heading of the document, up to the next heading of the same level.
fn examples<'a>(document: &'a str, heading: &str) -> Vec<&'a str> {
    let section = document
        .split("\n## ")
        .find(|section| section.starts_with(heading))
        .unwrap_or_else(|| panic!("the document has a section {heading:?}"));

    section
        .split("```json\n")
        .skip(1)
        .map(|rest| rest.split("\n```").next().expect("a fence has an end"))
        .collect()
}

fn document() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/protocol.md");
    std::fs::read_to_string(path).expect("a file of the repository")
}

fn value(json: &str) -> serde_json::Value {
    serde_json::from_str(json).expect("JSON")
}

/// The snake_case names of the variants of a `kind` function, read from its source: a message that
/// is added there needs an example here.
fn kinds(source: &str) -> BTreeSet<&str> {
    let body = source
        .split("fn kind(&self) -> &'static str {")
        .nth(1)
        .and_then(|rest| rest.split("\n    }\n").next())
        .expect("the function");
    body.split('"').skip(1).step_by(2).collect()
}

#[test]
fn every_client_message_has_an_example_that_parses() {
    let document = document();
    let mut seen = BTreeSet::new();

    for example in examples(&document, "Client to server") {
        let envelope =
            parse_client_text(example).unwrap_or_else(|fault| panic!("{example}: {fault}"));
        seen.insert(envelope.message.kind());

        let written = serde_json::to_string(&envelope).expect("JSON");
        assert_eq!(value(&written), value(example), "every field is known");
    }

    let all = kinds(include_str!("../../src/message/client.rs"));
    assert_eq!(
        all.len(),
        18,
        "the list of types is read from the source: {all:?}"
    );
    assert_eq!(seen, all, "each type has an example");
}

#[test]
fn every_server_message_has_an_example_that_round_trips() {
    let document = document();
    let mut seen = BTreeSet::new();

    for example in examples(&document, "Server to client") {
        let envelope = parse_server(example).unwrap_or_else(|error| panic!("{example}: {error}"));
        seen.insert(envelope.message.kind());

        let written = serde_json::to_string(&envelope).expect("JSON");
        assert_eq!(value(&written), value(example), "every field is known");
    }

    let all = kinds(include_str!("../../src/message/server.rs"));
    assert_eq!(
        all.len(),
        23,
        "the list of types is read from the source: {all:?}"
    );
    assert_eq!(seen, all, "each type has an example");
}

#[test]
fn every_error_code_and_reason_is_explained() {
    let document = document();
    let variants = |source: &str, name: &str| -> Vec<String> {
        let body = source
            .split(&format!("pub enum {name} {{"))
            .nth(1)
            .and_then(|rest| rest.split("\n}").next())
            .expect("the enum");
        body.lines()
            .map(str::trim)
            .filter_map(|line| line.strip_suffix(','))
            .filter(|variant| !variant.starts_with("///") && *variant != "Other")
            .map(snake_case)
            .collect()
    };

    let codes = variants(include_str!("../../src/message/fault.rs"), "ErrorCode");
    assert_eq!(codes.len(), 21, "{codes:?}");
    let reasons = variants(include_str!("../../src/message/server.rs"), "LeaveReason");
    assert_eq!(reasons.len(), 5, "{reasons:?}");

    let knock_ends = variants(include_str!("../../src/message/server.rs"), "KnockEnd");
    assert_eq!(knock_ends.len(), 3, "{knock_ends:?}");

    for word in codes.iter().chain(&reasons).chain(&knock_ends) {
        assert!(
            document.contains(&format!("| `{word}` |")),
            "`{word}` has a row in a table"
        );
    }
}

/// `BadJson` as `bad_json`.
fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }

    snake
}
