//! The page behind the link to an invite, in a browser.

#![cfg(unix)]

use serde_json::{Value, json};
use tandem_tests::authority::Validity;
use tandem_tests::browser::open_invites;
use tandem_tests::{Authority, Part, ServerProcess, require};

/// Checks what all pages have in common.
fn check(page: &Value) {
    assert_eq!(
        page["problems"],
        json!([]),
        "no error, and nothing loaded from elsewhere: {page}"
    );
    assert_eq!(page["markup"], 0, "nothing but the page's own: {page}");
    assert_ne!(page["overflows"], true, "it fits a phone: {page}");
}

/// Checks that the page opens exactly this link in Tandem. `first` is what the first key press
/// reaches.
fn check_link(page: &Value, link: &str, first: &str) {
    check(page);
    assert_eq!(page["status"], 200, "{page}");
    assert_eq!(page["link"], link, "the button's link: {page}");
    assert_eq!(page["opened"], json!([link]), "what a click opens: {page}");
    assert_eq!(page["button"], "Open in Tandem", "{page}");
    assert_eq!(page["focused"], first, "the first key press: {page}");
    assert_eq!(
        page["heading"], "Someone invited you to a call in Tandem",
        "{page}"
    );
}

/// Checks that the page explains that the link is incomplete, and shows nothing of it.
fn check_incomplete(page: &Value) {
    assert_eq!(page["heading"], "This link is incomplete", "{page}");
    assert_eq!(page["title"], "Incomplete link – Tandem", "{page}");

    for name in ["button", "link", "code", "server"] {
        assert_eq!(page[name], Value::Null, "no {name}: {page}");
    }

    let text = page["text"].as_str().expect("a text");
    assert!(text.contains("Ask the person who invited you"), "{page}");
    assert!(text.len() < 400, "nothing of the link: {page}");
}

// The links are those of the tests in src-tauri/src/invite/link.rs, which read them.
#[test]
fn the_page_of_an_invite_opens_tandem_with_the_link_that_tandem_reads() {
    require!(Part::Chromium);
    let server = ServerProcess::start().expect("the server starts");
    let urls = [
        "http://192.168.1.20:9000/j/7#garden-lantern",
        "http://[fd00::7]:9000/j/7#garden-lantern",
        "http://192.168.1.20/j/999999999?utm=1#garden-lantern",
        "http://nas.local/j/7#garden-lantern",
    ];
    let pages = open_invites(server.address(), &urls).expect("the browser shows the pages");

    let links = [
        "tandem://join/192.168.1.20:9000/7#garden-lantern",
        "tandem://join/[fd00::7]:9000/7#garden-lantern",
        "tandem://join/192.168.1.20/999999999#garden-lantern",
        "tandem://join/nas.local/7#garden-lantern",
    ];
    for (page, link) in pages.iter().zip(links) {
        check_link(page, link, "open");
        assert_eq!(
            page["problem"], "insecure",
            "browsers give this page no camera, and it says so: {page}"
        );
    }

    assert_eq!(pages[0]["code"], "7-garden-lantern", "what to type");
    assert_eq!(
        pages[0]["server"], "192.168.1.20:9000",
        "which server it is"
    );
    assert_eq!(pages[0]["title"], "Join a call – Tandem");
}

#[test]
fn the_page_of_an_invite_works_with_the_servers_own_tls() {
    require!(Part::Chromium);
    let authority = Authority::new().expect("an authority");
    let identity = authority
        .sign(&["chat.example.org"], Validity::Valid)
        .expect("a certificate");
    let [cert, key] = [&identity.cert, &identity.key].map(|path| path.display().to_string());
    let download = "https://example.org/tandem?a=1&b=2";
    let server = ServerProcess::start_with(&[
        "--tls-cert",
        &cert,
        "--tls-key",
        &key,
        "--download-url",
        download,
    ])
    .expect("the server starts");

    let urls = [
        "https://Chat.Example.org/j/7#garden-lantern",
        "https://chat.example.org:8443/j/7#garden-lantern",
    ];
    let pages = open_invites(server.address(), &urls).expect("the browser shows the pages");

    // Here, the browser can call, too.
    for (page, host) in pages
        .iter()
        .zip(["chat.example.org", "chat.example.org:8443"])
    {
        let link = format!("tandem://join/{host}/7#garden-lantern");
        check_link(page, &link, "preview");
        assert_eq!(page["problem"], Value::Null, "{page}");
    }
    assert_eq!(pages[0]["server"], "chat.example.org");
    assert_eq!(pages[0]["download"], download, "where to get Tandem");
}

#[test]
fn a_server_that_no_tandem_link_can_name_gets_the_link_pasted() {
    require!(Part::Chromium);
    let server = ServerProcess::start().expect("the server starts");
    // Tandem would use TLS for the first two; the third is a lone word.
    let urls = [
        "http://chat.example.org/j/7#garden-lantern",
        "http://8.8.8.8:9000/j/7#garden-lantern",
        "http://nas/j/7#garden-lantern",
    ];
    let pages = open_invites(server.address(), &urls).expect("the browser shows the pages");

    for page in &pages {
        check(page);
        assert_eq!(page["button"], Value::Null, "it would open another server");
        assert_eq!(page["code"], "7-garden-lantern", "{page}");
        let text = page["text"].as_str().expect("a text");
        assert!(text.contains("paste the whole link"), "{page}");
    }
}

#[test]
fn the_page_says_that_a_link_is_incomplete_and_repeats_nothing_of_it() {
    require!(Part::Chromium);
    let server = ServerProcess::start().expect("the server starts");
    let long = format!("http://localhost/j/7#garden-{}", "n".repeat(10_000));
    let urls = [
        "http://localhost/j/7",
        "http://localhost/j/7#",
        "http://localhost/j/7#garden",
        "http://localhost/j/7#Garden-Lantern",
        "http://localhost/j/7#garden-lantern-kayak",
        "http://localhost/j/7#garden-lantern-<b>bold</b>",
        "http://localhost/j/7#<img src=x onerror=alert(1)>",
        "http://localhost/j/7#garden-%6Cantern",
        "http://localhost/j/7#garden-lantern%0A",
        "http://localhost/j/7#g\u{430}rden-lantern",
        "http://localhost/j/7#javascript:alert(1)",
        &long,
    ];
    let pages = open_invites(server.address(), &urls).expect("the browser shows the pages");

    for page in &pages {
        check(page);
        assert_eq!(page["status"], 200, "the server sees no difference: {page}");
        check_incomplete(page);
    }
}

#[test]
fn a_link_without_a_rooms_number_is_not_found_and_explained() {
    require!(Part::Chromium);
    let server = ServerProcess::start().expect("the server starts");
    let urls = [
        "http://localhost/j/#garden-lantern",
        "http://localhost/j/07#garden-lantern",
        "http://localhost/j/7/#garden-lantern",
        "http://localhost/j/<img src=x onerror=alert(1)>#garden-lantern",
    ];
    let pages = open_invites(server.address(), &urls).expect("the browser shows the pages");

    for page in &pages {
        assert_eq!(page["status"], 404, "{page}");
        assert_eq!(page["markup"], 0, "{page}");
        check_incomplete(page);
    }
}

#[test]
fn the_page_says_what_to_do_without_javascript() {
    require!(Part::Chromium);
    let server = ServerProcess::start().expect("the server starts");
    let urls = ["http://localhost/j/7#garden-lantern@without-script"];
    let pages = open_invites(server.address(), &urls).expect("the browser shows the page");

    check(&pages[0]);
    assert_eq!(pages[0]["button"], Value::Null, "it could not work");
    let text = pages[0]["text"].as_str().expect("a text");
    assert!(text.contains("paste the whole link"), "{}", pages[0]);
}
