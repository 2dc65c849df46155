//! People on the same network call each other, with no server and no other network.

#![cfg(target_os = "linux")]
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests read the clock, print what they measure, and end at the first surprise"
)]

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use serde_json::json;
use tandem_tests::neighbours::{end, is_in_call_with, ring, rings, sees};
use tandem_tests::window::Window;
use tandem_tests::{Host, Neighbours, Network, Part, WireClient, require};

/// The port of a person nearby, if it was free.
const NEARBY_PORT: u16 = 9010;

/// A network of two.
fn network_of_two() -> Network {
    Network::with_addresses(&["192.168.7.1/24", "192.168.7.2/24"]).expect("a network of two")
}

/// One rings, the other accepts, and they see each other. Then the other way round.
fn call(network: Network) {
    let people = Neighbours::open(network, &["Ann", "Bea"]).expect("two windows");
    let [ann, bea] = people.windows();
    people.see_each_other().unwrap();

    ann.press("call-nearby").unwrap();
    rings(bea, "Ann").unwrap();
    assert_eq!(bea.text(".incoming .hint").unwrap(), "Is on your network");
    ann.wait_for_state("/screen/ringing", &json!(true))
        .expect("she hears that it rings");

    bea.press("accept-call").unwrap();
    is_in_call_with(ann, "Bea").unwrap();
    is_in_call_with(bea, "Ann").unwrap();

    ann.press("hang-up").unwrap();
    for window in [ann, bea] {
        end(window).expect("the call ends");
        let state = window.state().expect("the app answers");
        assert_eq!(
            state["recents"],
            json!([]),
            "the address is another one next time"
        );
        window.press("to-lobby").unwrap();
    }

    people.see_each_other().unwrap();
    bea.press("call-nearby").unwrap();
    rings(ann, "Bea").unwrap();
    ann.press("accept-call").unwrap();
    is_in_call_with(bea, "Ann").unwrap();
}

#[test]
fn two_people_on_one_network_call_each_other_without_a_server() {
    require!(Part::Network);
    require!(Part::Window);
    let network = network_of_two();
    // What a machine with containers has, and a second network on which the two do not meet.
    for number in 0..2 {
        let host = network.host(number);
        host.add_dead_end("docker0", "172.17.0.1/16").unwrap();
        let address = format!("10.9.9.{}/24", number + 1);
        host.add_dead_end("eth1", &address).unwrap();
    }

    call(network);
}

#[test]
fn two_people_on_a_cable_call_each_other() {
    require!(Part::Network);
    require!(Part::Window);
    call(Network::with_addresses(&["169.254.10.1/16", "169.254.10.2/16"]).unwrap());
}

#[test]
fn two_people_with_ipv6_link_local_addresses_only_call_each_other() {
    require!(Part::Network);
    require!(Part::Window);
    call(Network::start(2).unwrap());
}

/// Both ring at the same time.
fn ring_at_once(callers: [(&Window, &str); 2]) {
    std::thread::scope(|scope| {
        let [first, second] =
            callers.map(|(caller, name)| scope.spawn(move || ring(caller, name).unwrap()));
        first.join().expect("a call starts");
        second.join().expect("a call starts");
    });
}

#[test]
fn two_people_who_ring_each_other_at_once_are_in_a_call() {
    require!(Part::Network);
    require!(Part::Window);
    let people = Neighbours::meet(&["Ann", "Bea"]).expect("two who see each other");
    let [ann, bea] = people.windows();

    ring_at_once([(ann, "Bea"), (bea, "Ann")]);
    is_in_call_with(ann, "Bea").unwrap();
    is_in_call_with(bea, "Ann").unwrap();
}

#[test]
fn two_people_who_ring_the_same_person_at_once_get_one_answer_each() {
    require!(Part::Network);
    require!(Part::Window);
    let people = Neighbours::meet(&["Ann", "Bea", "Cem"]).expect("three who see each other");
    let [ann, bea, cem] = people.windows();

    // The one who is declined makes room for the other.
    ring_at_once([(bea, "Ann"), (cem, "Ann")]);
    ann.wait_for_element(".incoming").expect("it rings");
    let name = ann.state().unwrap()["incoming"]["name"].clone();
    let (first, second) = match name.as_str() {
        Some("Bea") => ((bea, "Bea"), (cem, "Cem")),
        Some("Cem") => ((cem, "Cem"), (bea, "Bea")),
        _ => panic!("{name} rings"),
    };
    ann.press("decline-call").unwrap();
    assert_eq!(end(first.0).unwrap(), "DECLINED");
    rings(ann, second.1).unwrap();
    ann.press("accept-call").unwrap();
    is_in_call_with(ann, second.1).unwrap();
    is_in_call_with(second.0, "Ann").unwrap();

    // Someone in a call cannot be rung.
    first.0.press("to-lobby").unwrap();
    ring(first.0, "Ann").unwrap();
    assert_eq!(end(first.0).unwrap(), "NO_SUCH_ROOM");
    assert_eq!(
        first.0.text("#end-reason").unwrap(),
        "They can't take calls right now."
    );
    assert_eq!(ann.screen().unwrap(), "in-call", "the call goes on");
}

/// Rings at the server of a person nearby, from `host`, and returns when that has been taken.
fn waits_at(host: &Host, server: (Ipv4Addr, u16)) -> WireClient {
    let mut caller = host
        .run(|| WireClient::connect(server.into()))
        .expect("the server answers");
    let room = json!({ "type": "find_partner", "room": "nearby", "mustExist": true });
    caller.send(&room).expect("the connection works");
    caller.receive("searching").expect("it rings");
    caller
}

#[test]
fn who_waits_behind_another_caller_is_told_when_that_one_is_answered() {
    require!(Part::Network);
    require!(Part::Window);
    let people = Neighbours::meet(&["Ann", "Bea", "Cem"]).expect("three who see each other");
    let [ann, bea, cem] = people.windows();

    ring(bea, "Ann").unwrap();
    rings(ann, "Bea").unwrap();
    ring(cem, "Ann").unwrap();
    cem.wait_for_screen("waiting").expect("Cem rings");
    // A screen does not tell when Ann's server has put its caller behind Bea; the answer to this one,
    // from the same computer, does.
    let mut behind = waits_at(
        people.network().host(2),
        (Ipv4Addr::new(192, 168, 7, 1), NEARBY_PORT),
    );
    ann.press("accept-call").unwrap();
    is_in_call_with(ann, "Bea").unwrap();
    is_in_call_with(bea, "Ann").unwrap();
    assert_eq!(end(cem).unwrap(), "NO_SUCH_ROOM", "not left to wait");
    let told = behind.receive("error").expect("this one is told, too");
    assert_eq!(told["code"], "no_such_room");

    // When the two are done, Cem gets through.
    bea.press("hang-up").unwrap();
    for window in [ann, bea, cem] {
        end(window).expect("the call is over");
        window.press("to-lobby").unwrap();
    }
    ring(cem, "Ann").unwrap();
    rings(ann, "Cem").unwrap();
    ann.press("accept-call").unwrap();
    is_in_call_with(cem, "Ann").unwrap();
}

#[test]
fn who_declines_closes_or_takes_another_name_is_noticed() {
    require!(Part::Network);
    require!(Part::Window);
    let people = Neighbours::meet(&["Ann", "Bea"]).expect("two who see each other");
    let [ann, bea] = people.windows();

    // Declined.
    ann.press("call-nearby").unwrap();
    rings(bea, "Ann").unwrap();
    bea.press("decline-call").unwrap();
    assert_eq!(end(ann).unwrap(), "DECLINED");
    ann.press("to-lobby").unwrap();

    // A new name while Bea rings: she rings on, and the list follows.
    bea.press("call-nearby").unwrap();
    rings(ann, "Bea").unwrap();
    let renamed = bea.command("setName", &json!({ "name": "Beatrice" }));
    renamed.expect("the app answers").expect("a name");
    sees(ann, &["Beatrice"]).unwrap();
    assert!(ann.is_shown(".incoming").unwrap());

    // Ann closes the list while Bea rings.
    ann.press("close-nearby").unwrap();
    end(bea).expect("she is told");
    assert_eq!(
        bea.text("#end-reason").unwrap(),
        "They can't take calls right now."
    );
    bea.press("to-lobby").unwrap();
    bea.wait_for_state("/nearby/people", &json!([])).unwrap();
}

#[test]
fn someone_whose_computer_sleeps_while_it_rings_is_given_up_and_can_be_rung_again() {
    require!(Part::Network);
    require!(Part::Window);
    let people = Neighbours::meet(&["Ann", "Bea"]).expect("two who see each other");
    let [ann, bea] = people.windows();

    ann.press("call-nearby").unwrap();
    rings(bea, "Ann").unwrap();
    bea.signal(libc::SIGSTOP).unwrap();
    let asleep = Instant::now();
    // Long before a server at its usual settings would count as silent.
    assert_eq!(end(ann).unwrap(), "RELAY_UNREACHABLE");
    assert_eq!(
        ann.text("#end-reason").unwrap(),
        "They can't be reached right now."
    );

    let given_up = asleep.elapsed();
    println!("given up after {:.1} s", given_up.as_secs_f64());
    // 20 s of silence, and 5 s in which the other computer may come back. A usual server gets 30 s
    // more.
    assert!(given_up < Duration::from_secs(40), "after {given_up:?}");
    bea.signal(libc::SIGCONT).unwrap();
    let awake = Instant::now();
    ann.press("to-lobby").unwrap();
    bea.wait_for_state("/incoming", &json!(null))
        .expect("nobody rings any more");
    people.see_each_other().unwrap();
    ring(ann, "Bea").unwrap();
    rings(bea, "Ann").unwrap();
    println!("rings again {:.1} s later", awake.elapsed().as_secs_f64());
    bea.press("accept-call").unwrap();
    is_in_call_with(ann, "Bea").unwrap();
}

#[test]
fn who_cannot_be_found_is_called_by_address() {
    require!(Part::Network);
    require!(Part::Window);
    let network = network_of_two();
    network.block_multicast().expect("a bridge can do that");
    let people = Neighbours::open(network, &["Ann", "Bea"]).expect("two windows");
    let [ann, bea] = people.windows();

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
    rings(bea, "Ann").unwrap();
    assert_eq!(bea.state().unwrap()["nearby"]["people"], json!([]));
    bea.press("accept-call").unwrap();
    is_in_call_with(ann, "Bea").unwrap();
}
