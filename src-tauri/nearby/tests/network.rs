//! People who find each other on networks of the test's own, with nothing else on them.

#![cfg(target_os = "linux")]
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "tests wait with deadlines and print what they measure"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tandem_nearby::{Announcement, Nearby, NearbyChange, NeighbourId, Reach};
use tandem_tests::{Host, Network, Part, require};

const TIMEOUT: Duration = Duration::from_secs(20);
const ROOM: &str = "6f1d2c3b4a5968778695a4b3c2d1e0ff";

/// Someone with *People nearby* open, and what they see.
struct Person {
    nearby: Nearby,
    seen: Arc<(Mutex<NearbyChange>, Condvar)>,
}

impl Person {
    fn open(host: &Host, number: u64, name: &str) -> Self {
        let me = Announcement {
            id: NeighbourId::from(number),
            name: Some(name.into()),
            room: ROOM.into(),
            port: 40_123,
        };
        let nothing = NearbyChange {
            people: Vec::new(),
            reach: Reach::Unknown,
        };
        let seen = Arc::new((Mutex::new(nothing), Condvar::new()));
        let changed = Arc::clone(&seen);
        let on_change = move |change| {
            *changed.0.lock() = change;
            changed.1.notify_all();
        };

        let nearby = host.run(|| Nearby::open(&me, |name| name == "docker0", on_change));
        Self {
            nearby: nearby.expect("multicast DNS works"),
            seen,
        }
    }

    /// Waits until what this person sees is as expected, and returns it.
    fn wait_for(&self, what: &str, is_so: impl Fn(&NearbyChange) -> bool) -> NearbyChange {
        let deadline = Instant::now() + TIMEOUT;
        let mut seen = self.seen.0.lock();
        while !is_so(&seen) {
            let timed_out = self.seen.1.wait_until(&mut seen, deadline).timed_out();
            assert!(!timed_out, "{what}: {seen:?}");
        }

        seen.clone()
    }

    fn sees(&self, names: &[&str]) -> NearbyChange {
        self.wait_for(&format!("sees {names:?}"), |seen| {
            let mut shown: Vec<&str> = seen
                .people
                .iter()
                .filter_map(|person| person.name.as_deref())
                .collect();
            shown.sort_unstable();
            shown == names
        })
    }
}

#[test]
fn two_people_on_one_network_find_each_other() {
    require!(Part::Network);
    let network = Network::start(2).unwrap();
    network.host(0).add_address("192.168.7.1/24").unwrap();
    network.host(1).add_address("192.168.7.2/24").unwrap();
    // What a machine with containers has.
    network
        .host(1)
        .add_dead_end("docker0", "172.17.0.1/16")
        .unwrap();

    let ann = Person::open(network.host(0), 1, "Ann");
    let opened = Instant::now();
    let bea = Person::open(network.host(1), 2, "Bea");
    let seen = ann.sees(&["Bea"]);
    bea.sees(&["Ann"]);
    println!("found after {} ms", opened.elapsed().as_millis());

    assert_eq!(seen.people[0].room, ROOM);
    let addresses: Vec<String> = seen.people[0]
        .addresses
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(addresses[0], "192.168.7.2:40123");
    assert!(
        addresses.iter().all(|address| !address.starts_with("172.")),
        "nobody is behind docker0: {addresses:?}"
    );
    ann.wait_for("hears itself", |seen| seen.reach == Reach::Heard);

    bea.nearby.rename(Some("Beatrice".into())).unwrap();
    ann.sees(&["Beatrice"]);

    drop(bea);
    ann.sees(&[]);
}

#[test]
fn two_people_on_a_cable_find_each_other() {
    require!(Part::Network);
    let network = Network::start(2).unwrap();
    network.host(0).add_address("169.254.10.1/16").unwrap();
    network.host(1).add_address("169.254.10.2/16").unwrap();

    let ann = Person::open(network.host(0), 1, "Ann");
    let bea = Person::open(network.host(1), 2, "Bea");
    ann.sees(&["Bea"]);
    bea.sees(&["Ann"]);
}

#[test]
fn two_people_whose_network_has_ipv6_link_local_addresses_only_find_each_other() {
    require!(Part::Network);
    let network = Network::start(2).unwrap();
    let ann = Person::open(network.host(0), 1, "Ann");
    let bea = Person::open(network.host(1), 2, "Bea");
    bea.sees(&["Ann"]);
    let seen = ann.sees(&["Bea"]);
    assert!(
        seen.people[0]
            .addresses
            .iter()
            .all(std::net::SocketAddr::is_ipv6),
        "with the interface that leads there: {seen:?}"
    );
}

#[test]
fn twenty_people_find_each_other() {
    require!(Part::Network);
    let network = Network::start(20).unwrap();
    let people: Vec<Person> = (0..20)
        .map(|number| {
            let host = network.host(number);
            host.add_address(&format!("192.168.7.{}/24", number + 1))
                .unwrap();
            Person::open(host, number as u64, &format!("Person {number}"))
        })
        .collect();

    for person in &people {
        person.wait_for("sees everyone", |seen| seen.people.len() == 19);
    }
}

#[test]
fn a_machine_without_a_network_hears_nobody_and_notices() {
    require!(Part::Network);
    let network = Network::start(1).unwrap();
    network.host(0).take_down().unwrap();
    let ann = Person::open(network.host(0), 1, "Ann");
    ann.wait_for("notices", |seen| seen.reach == Reach::Silent);
}
