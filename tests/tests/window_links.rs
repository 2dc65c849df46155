//! Links that lead nowhere: to servers that do not exist or that Tandem must not trust, and texts
//! that are no links at all. Each gets a sentence, nothing connects before the user clicks, and
//! nothing of the user's is lost.

#![cfg(target_os = "linux")]

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use tandem_tests::authority::{Authority, Validity};
use tandem_tests::process::{built, wait_until};
use tandem_tests::rogue::web_server;
use tandem_tests::window::{Home, TEST_MEDIA, TIMEOUT};
use tandem_tests::{Balancer, Part, Process, Screen, SecureServer, ServerProcess, Window, require};

/// What the last screen says.
struct Sentence {
    cause: &'static str,
    what: &'static str,
    todo: &'static str,
}

const UNREACHABLE: Sentence = Sentence {
    cause: "SIGNALING_UNREACHABLE",
    what: "Can't reach the server.",
    todo: "Check your internet connection, or ask for a new invite.",
};
const UNTRUSTED: Sentence = Sentence {
    cause: "SIGNALING_TLS_UNTRUSTED",
    what: "This computer doesn't trust the server's certificate.",
    todo: "Use another network, or ask the people who run the server for its certificate file.",
};
const EXPIRED: Sentence = Sentence {
    cause: "SIGNALING_TLS_EXPIRED",
    what: "The server's certificate isn't valid today.",
    todo: "Check this computer's date, or ask the people who run the server.",
};
const WRONG_NAME: Sentence = Sentence {
    cause: "SIGNALING_TLS_WRONG_NAME",
    what: "The server's certificate is for a different address.",
    todo: "Ask the other person for a new invite.",
};
const NO_TLS: Sentence = Sentence {
    cause: "SIGNALING_TLS_MISSING",
    what: "This server doesn't offer an encrypted connection.",
    todo: "Ask the other person for a new invite.",
};
const REDIRECTED: Sentence = Sentence {
    cause: "SIGNALING_REDIRECTED",
    what: "This server has moved.",
    todo: "Ask the people who run it for the new address.",
};
const NO_TANDEM: Sentence = Sentence {
    cause: "SIGNALING_NOT_A_RELAY",
    what: "That isn't a Tandem server.",
    todo: "Ask the other person for a new invite.",
};

/// A link, the balancer in front of its server if there is one, and what the user is told after the
/// click.
struct Case {
    link: String,
    door: Option<Balancer>,
    sentence: Sentence,
}

impl Case {
    fn new(scheme: &str, server: SocketAddr, sentence: Sentence) -> Self {
        let door = Balancer::start(&[server]).expect("a free port");
        let port = door.address().port();
        Self {
            link: format!("{scheme}://localhost:{port}/j/7#garden-lantern"),
            door: Some(door),
            sentence,
        }
    }

    fn connections(&self) -> usize {
        self.door.as_ref().map_or(0, Balancer::connections)
    }
}

/// A server with a certificate of this authority.
fn with_certificate(authority: &Authority, name: &str, validity: Validity) -> ServerProcess {
    let identity = authority.sign(&[name], validity).expect("a certificate");
    let [cert, key] = [&identity.cert, &identity.key].map(|path| path.display().to_string());
    ServerProcess::start_with(&["--tls-cert", &cert, "--tls-key", &key]).expect("the server starts")
}

/// An address at which nothing listens.
fn closed() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
}

/// Starts Tandem once more as the user of `window` with these arguments, and returns its exit code
/// and what it says.
fn start_again(screen: &Screen, window: &Window, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(built("tandem"));
    command
        .args(arguments)
        .envs(screen.environment())
        .envs(window.home().environment());
    let mut second = Process::start(command).expect("it starts");
    let code = second.wait(TIMEOUT).expect("the second instance ends");

    (code, second.stderr())
}

fn click_link(screen: &Screen, window: &Window, link: &str) {
    let (code, log) = start_again(screen, window, &[link]);
    assert_eq!(code, Some(0), "it hands the link over: {log}");
}

fn state(window: &Window) -> Value {
    window.state().expect("the app answers")
}

/// The files with what the user has chosen, and with the people of earlier calls.
fn saved(window: &Window) -> Vec<(PathBuf, Vec<u8>)> {
    let settings = window.home().settings();
    [settings.clone(), settings.with_file_name("recents.json")]
        .map(|path| {
            let content = fs::read(&path).expect("the file is there");
            (path, content)
        })
        .into()
}

/// A user with settings and an earlier call, whose server is this one.
fn open(screen: &Screen, server: &SecureServer) -> Window {
    let home = Home::new().expect("a folder");
    let recents = home.settings().with_file_name("recents.json");
    let arguments = server.arguments(&home, "Ann").expect("a writable folder");
    let recent = json!({
        "room": "Zm9yZ2V0LW1lLW5vdC0xMjM", "server": server.address(), "name": "Bea",
        "atMs": 1_790_000_000_000_u64,
    });
    fs::write(recents, json!({ "recents": [recent] }).to_string()).expect("a writable folder");

    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let arguments = [&TEST_MEDIA[..], &["--size", "320x180"], &arguments].concat();
    let window = Window::open_as(home, screen, &arguments).expect("the window opens");
    window
        .wait_for_state("/server/status", &json!("connected"))
        .expect("the own server is there");
    window
        .wait_for_state("/recents/0/name", &json!("Bea"))
        .expect("Bea can be called again");

    window
        .command("setTheme", &json!({ "theme": "dark" }))
        .expect("the app answers")
        .expect("a theme can be chosen");
    wait_until("the settings are saved", TIMEOUT, || {
        let settings = fs::read_to_string(window.home().settings()).ok()?;
        settings.contains("dark").then_some(())
    })
    .expect("the folder is writable");

    window
}

/// Opens the link, checks that nothing happens before the click, clicks, and checks what the last
/// screen says.
fn follow(screen: &Screen, window: &Window, case: &Case) {
    let Case { link, sentence, .. } = case;
    click_link(screen, window, link);
    window
        .wait_for_element("[data-action=join-opened]")
        .expect("the window shows where the link leads");
    let shown = window.text(".opened").expect("the page answers");
    let host = link
        .split('/')
        .find(|part| part.contains(':') && !part.ends_with(':'));
    assert!(shown.contains(host.expect("a host")), "{link}: {shown}");
    assert_eq!(state(window)["screen"]["kind"], "lobby", "{link}");
    assert_eq!(state(window)["server"]["status"], "connected", "{link}");
    assert_eq!(case.connections(), 0, "nothing connects to {link}");

    window.press("join-opened").expect("the button is there");
    window
        .wait_for_screen("ended")
        .expect("the call cannot come about");
    let screen = &state(window)["screen"];
    assert_eq!(screen["reason"], "RELAY_UNREACHABLE", "{link}: {screen}");
    assert_eq!(screen["cause"], sentence.cause, "{link}: {screen}");
    let text = |selector| window.text(selector).expect("the page answers");
    assert_eq!(text("#end-reason"), sentence.what, "{link}");
    assert_eq!(text("#end-reason + .hint"), sentence.todo, "{link}");
    if case.door.is_some() {
        assert!(case.connections() > 0, "the click connects to {link}");
    }

    window.press("to-lobby").expect("the button is there");
    window
        .wait_for_state("/server/status", &json!("connected"))
        .expect("the own server is connected again");
}

/// Opens a text that is no link to a call, and checks that it gets a sentence and nothing else.
fn refuse(screen: &Screen, window: &Window, text: &str) {
    click_link(screen, window, text);
    let shown = "[data-problem=BAD_INVITE]";
    window
        .wait_for_element(shown)
        .unwrap_or_else(|error| panic!("{text:?}: {error:#}"));
    let sentence = window.text(shown).expect("the page answers");
    assert!(sentence.contains("That isn't an invite."), "{sentence}");

    let state = state(window);
    assert_eq!(state["opened"], Value::Null, "{text:?}");
    assert_eq!(state["screen"]["kind"], "lobby", "{text:?}");
    assert_eq!(state["server"]["status"], "connected", "{text:?}");

    let problem = state["problems"][0]["id"].clone();
    window
        .command("dismissProblem", &json!({ "id": problem }))
        .expect("the app answers")
        .expect("a problem can be dismissed");
    window
        .wait_for_state("/problems", &json!([]))
        .expect("nothing is left of it");
}

#[test]
fn a_bad_link_is_explained_after_the_click_and_costs_nothing() {
    require!(Part::Window);
    let screen = Screen::start().expect("Xvfb starts");
    let server = SecureServer::start().expect("the server starts");
    let window = open(&screen, &server);
    let before = saved(&window);

    let stranger = Authority::new().expect("an authority");
    let untrusted = with_certificate(&stranger, "localhost", Validity::Valid);
    let expired = with_certificate(server.authority(), "localhost", Validity::Expired);
    let wrong_name = with_certificate(server.authority(), "chat.test", Validity::Valid);
    let plain = ServerProcess::start().expect("the server starts");
    let website =
        web_server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi".into()).expect("a free port");
    let elsewhere = Balancer::start(&[plain.address()]).expect("a free port");
    let moved = format!(
        "HTTP/1.1 301 Moved Permanently\r\nLocation: http://{}/ws\r\nContent-Length: 0\r\n\r\n",
        elsewhere.address()
    );
    let moved = web_server(moved).expect("a free port");

    let nowhere = Case {
        link: format!("tandem://join/{}/7#garden-lantern", closed()),
        door: None,
        sentence: UNREACHABLE,
    };
    for case in [
        nowhere,
        Case::new("https", untrusted.address(), UNTRUSTED),
        Case::new("https", expired.address(), EXPIRED),
        Case::new("https", wrong_name.address(), WRONG_NAME),
        Case::new("https", plain.address(), NO_TLS),
        Case::new("http", website, NO_TANDEM),
        Case::new("http", moved, REDIRECTED),
    ] {
        follow(&screen, &window, &case);
    }
    assert_eq!(elsewhere.connections(), 0, "no redirection is followed");

    assert_eq!(saved(&window), before, "settings and people are as before");
    window.press("invite").expect("the button is there");
    window
        .wait_for_element("#invite-web-link")
        .expect("and the own server still makes an invite");
}

#[test]
fn a_text_that_is_no_link_is_refused_with_a_sentence_and_nothing_happens() {
    require!(Part::Window);
    let screen = Screen::start().expect("Xvfb starts");
    let server = SecureServer::start().expect("the server starts");
    let window = open(&screen, &server);
    let before = saved(&window);

    let plain = ServerProcess::start().expect("the server starts");
    let door = Balancer::start(&[plain.address()]).expect("a free port");
    let host = door.address();
    let join = format!("tandem://join/{host}/7");
    for text in [
        // Ten thousand characters, and more bytes than one instance hands to another.
        format!("{join}#garden-{}", "n".repeat(10_000)),
        format!("http://{host}/j/7#{}", "灯".repeat(10_000)),
        // Reversed and invisible text, and control characters.
        format!("{join}#\u{202E}garden-lantern"),
        format!("{join}#garden\u{200B}-lantern"),
        format!("{join}#garden-lantern\n{join}"),
        format!("\u{1B}]0;title\u{7}{join}#garden-lantern\u{0085}"),
        // Another script: the first has a Cyrillic letter.
        format!("{join}#g\u{430}rden-lantern"),
        format!("tandem://join/{host}/٧#حديقة-فانوس"),
        // Almost a link.
        join.clone(),
        format!("tandem://user:password@join/{host}/7#garden-lantern"),
        format!("file://{host}/j/7#garden-lantern"),
    ] {
        refuse(&screen, &window, &text);
    }

    // What is typed is refused where it was typed: by the command before it reaches the window,
    let (code, log) = start_again(&screen, &window, &["join", "g\u{430}rden\u{7}"]);
    assert_eq!(code, Some(2), "not a code: {log}");
    assert!(log.contains("a room code has"), "it says what is: {log}");

    // and by the window. No argument of a program can hold a zero byte.
    for code in ["комната\u{0}", &format!("{join}#garden-lantern\u{0}")] {
        let refusal = window
            .command("callWithCode", &json!({ "code": code }))
            .expect("the app answers")
            .expect_err("not a code");
        let why = refusal["code"].as_str().unwrap_or_default();
        assert!(["BAD_ROOM", "BAD_LINK"].contains(&why), "{refusal}");
    }

    let state = state(&window);
    assert_eq!(state["opened"], Value::Null, "nothing waits for a click");
    assert_eq!(state["screen"]["kind"], "lobby");
    assert_eq!(state["server"]["status"], "connected");
    assert_eq!(door.connections(), 0, "nothing connected");
    assert_eq!(saved(&window), before, "settings and people are as before");
}

#[test]
fn an_invite_on_the_command_line_is_shown_by_a_new_window_and_by_an_open_one() {
    require!(Part::Window);
    let screen = Screen::start().expect("Xvfb starts");
    let server = ServerProcess::start().expect("the server starts");
    let door = Balancer::start(&[server.address()]).expect("a free port");
    let url = server.url();
    let arguments = [
        &["join", "7 Garden Lantern"],
        &TEST_MEDIA[..],
        &["--signaling", &url],
    ];
    let window = Window::open(&screen, &arguments.concat()).expect("the window opens");
    let wait_for_invite = |server: SocketAddr, other: bool| {
        let invite = json!({
            "code": "7-garden-lantern", "server": server.to_string(), "otherServer": other,
            "exposed": false,
        });
        window
            .wait_for_state("/opened", &invite)
            .expect("the app has the invite");
        window
            .wait_for_element("[data-action=join-opened]")
            .expect("and the window shows it");
    };
    wait_for_invite(server.address(), false);

    let link = format!("tandem://join/{}/7#garden-lantern", door.address());
    let (code, log) = start_again(&screen, &window, &["join", &link]);
    assert_eq!(code, Some(0), "it hands the link over: {log}");
    wait_for_invite(door.address(), true);
    assert_eq!(state(&window)["screen"]["kind"], "lobby", "no click yet");
    assert_eq!(door.connections(), 0, "nothing connects before it");

    let (code, log) = start_again(&screen, &window, &["join", "7-garden-lantern"]);
    assert_eq!(code, Some(0), "it hands the code over: {log}");
    wait_for_invite(server.address(), false);
    window.press("join-opened").expect("the button is there");
    window
        .wait_for_state("/screen/reason", &json!("NO_SUCH_ROOM"))
        .expect("the number belongs to no one");
}
