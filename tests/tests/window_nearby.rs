//! People on the same network call each other, with no server and no other network.

#![cfg(target_os = "linux")]
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests read the clock, print what they measure, and end at the first surprise"
)]

use std::time::Instant;

use serde_json::{Value, json};
use tandem_tests::window::{Home, TEST_MEDIA};
use tandem_tests::{Host, Network, Part, Screen, Window, require};

/// Small frames, so that a slow machine keeps up.
const SMALL: [&str; 2] = ["--size", "640x360"];

/// Opens a window on `host`, with the list of people nearby. It has no server.
fn open(screen: &Screen, host: &Host, name: &str) -> Window {
    let arguments = [&TEST_MEDIA[..], &SMALL, &["--name", name]].concat();
    let home = Home::new().expect("a home");
    let window = Window::open_on(host, home, screen, &arguments).expect("the window opens");
    window
        .press("way-nearby")
        .expect("the first start offers it");
    wait_for_state(&window, "/nearby/status", &json!("on"));
    window
}

/// A network of two, with these addresses for them, if there are any.
fn network(addresses: &[&str]) -> Network {
    let network = Network::start(2).expect("a network of two");
    for (number, address) in addresses.iter().enumerate() {
        network.host(number).add_address(address).expect(address);
    }

    network
}

fn wait_for_state(window: &Window, pointer: &str, wanted: &Value) {
    window
        .wait_for_state(pointer, wanted)
        .expect("the state changes");
}

/// Waits until the only person on the list has this name.
fn sees(window: &Window, name: &str) {
    wait_for_state(window, "/nearby/people/0/name", &json!(name));
    assert_eq!(window.text(".nearby-people .recent-name").unwrap(), name);
}

fn is_in_call_with(window: &Window, name: &str) {
    window.wait_for_screen("in-call").expect("the call begins");
    let state = window.state().expect("the app answers");
    assert_eq!(state["screen"]["partner"]["name"], name);
    window.wait_for_frames("#remote", 5).expect("video arrives");
}

/// One rings, the other accepts, and they see each other.
fn call(screen: &Screen, network: &Network) {
    let ann = open(screen, network.host(0), "Ann");
    let opened = Instant::now();
    let bea = open(screen, network.host(1), "Bea");
    sees(&ann, "Bea");
    sees(&bea, "Ann");
    println!("seen {} ms after the start", opened.elapsed().as_millis());

    ann.press("call-nearby").unwrap();
    bea.wait_for_element(".incoming").expect("it rings");
    assert_eq!(bea.text(".incoming h2").unwrap(), "Ann");
    assert_eq!(bea.text(".incoming .hint").unwrap(), "Is on your network");
    wait_for_state(&ann, "/screen/ringing", &json!(true));

    bea.press("accept-call").unwrap();
    is_in_call_with(&ann, "Bea");
    is_in_call_with(&bea, "Ann");

    ann.press("hang-up").unwrap();
    bea.wait_for_screen("ended").expect("the call ends");
    for window in [&ann, &bea] {
        let state = window.state().expect("the app answers");
        assert_eq!(
            state["recents"],
            json!([]),
            "the address is another one next time"
        );
        window.press("to-lobby").unwrap();
    }

    // And the other way round.
    sees(&bea, "Ann");
    bea.press("call-nearby").unwrap();
    ann.wait_for_element(".incoming").expect("it rings");
    ann.press("accept-call").unwrap();
    is_in_call_with(&bea, "Ann");
}

#[test]
fn two_people_on_one_network_call_each_other_without_a_server() {
    require!(Part::Network);
    require!(Part::Window);
    let screen = Screen::start().expect("Xvfb starts");
    let network = network(&["192.168.7.1/24", "192.168.7.2/24"]);
    // What a machine with containers has, and a second network on which the two do not meet.
    for number in 0..2 {
        let host = network.host(number);
        host.add_dead_end("docker0", "172.17.0.1/16").unwrap();
        let address = format!("10.9.9.{}/24", number + 1);
        host.add_dead_end("eth1", &address).unwrap();
    }

    call(&screen, &network);
}

#[test]
fn two_people_on_a_cable_call_each_other() {
    require!(Part::Network);
    require!(Part::Window);
    let screen = Screen::start().expect("Xvfb starts");
    call(&screen, &network(&["169.254.10.1/16", "169.254.10.2/16"]));
}

#[test]
fn two_people_with_ipv6_link_local_addresses_only_call_each_other() {
    require!(Part::Network);
    require!(Part::Window);
    let screen = Screen::start().expect("Xvfb starts");
    call(&screen, &network(&[]));
}

#[test]
fn two_people_who_ring_each_other_at_once_are_in_a_call() {
    require!(Part::Network);
    require!(Part::Window);
    let screen = Screen::start().expect("Xvfb starts");
    let network = network(&["192.168.7.1/24", "192.168.7.2/24"]);
    let ann = open(&screen, network.host(0), "Ann");
    let bea = open(&screen, network.host(1), "Bea");
    sees(&ann, "Bea");
    sees(&bea, "Ann");

    // Not by clicks: the ring that arrives first moves what is to be clicked.
    let call = |window: &Window| {
        let id = window.state().expect("the app answers")["nearby"]["people"][0]["id"].clone();
        window.command("callNearby", &json!({ "id": id }))
    };
    let answers = std::thread::scope(|scope| {
        let [ann, bea] = [&ann, &bea].map(|window| scope.spawn(move || call(window)));
        [ann, bea].map(|caller| caller.join().expect("no panic"))
    });
    for answer in answers {
        answer.expect("the app answers").expect("a call starts");
    }

    is_in_call_with(&ann, "Bea");
    is_in_call_with(&bea, "Ann");
}

#[test]
fn who_declines_closes_or_takes_another_name_is_noticed() {
    require!(Part::Network);
    require!(Part::Window);
    let screen = Screen::start().expect("Xvfb starts");
    let network = network(&["192.168.7.1/24", "192.168.7.2/24"]);
    let ann = open(&screen, network.host(0), "Ann");
    let bea = open(&screen, network.host(1), "Bea");
    sees(&ann, "Bea");

    // Declined.
    ann.press("call-nearby").unwrap();
    bea.wait_for_element(".incoming").expect("it rings");
    bea.press("decline-call").unwrap();
    ann.wait_for_screen("ended").expect("she is told");
    assert_eq!(
        ann.attribute("#end-reason", "data-reason")
            .unwrap()
            .as_deref(),
        Some("DECLINED")
    );
    ann.press("to-lobby").unwrap();

    // A new name while Bea rings: she rings on, and the list follows.
    bea.press("call-nearby").unwrap();
    ann.wait_for_element(".incoming").expect("it rings");
    let renamed = bea.command("setName", &json!({ "name": "Beatrice" }));
    renamed.expect("the app answers").expect("a name");
    wait_for_state(&ann, "/nearby/people/0/name", &json!("Beatrice"));
    assert!(ann.is_shown(".incoming").unwrap());

    // Ann closes the list while Bea rings.
    ann.press("close-nearby").unwrap();
    bea.wait_for_screen("ended").expect("she is told");
    assert_eq!(
        bea.text("#end-reason").unwrap(),
        "They can't be reached right now."
    );
    bea.press("to-lobby").unwrap();
    wait_for_state(&bea, "/nearby/people", &json!([]));
}

#[test]
fn who_cannot_be_found_is_called_by_address() {
    require!(Part::Network);
    require!(Part::Window);
    let screen = Screen::start().expect("Xvfb starts");
    let network = network(&["192.168.7.1/24", "192.168.7.2/24"]);
    network.block_multicast().expect("a bridge can do that");
    let ann = open(&screen, network.host(0), "Ann");
    let bea = open(&screen, network.host(1), "Bea");

    let addresses = bea.state().expect("the app answers")["nearby"]["addresses"].clone();
    let address = addresses[0].as_str().expect("an address").to_owned();
    assert!(address.starts_with("192.168.7.2"), "{addresses}");
    ann.run(
        "document.querySelector('.nearby-missing').open = true;",
        &json!([]),
    )
    .unwrap();
    ann.fill("#nearby-address", &address).unwrap();
    ann.press("call-address").unwrap();
    bea.wait_for_element(".incoming").expect("it rings");
    assert_eq!(bea.state().unwrap()["nearby"]["people"], json!([]));
    bea.press("accept-call").unwrap();
    is_in_call_with(&ann, "Bea");
}
