//! People who find each other on networks of the test's own, with nothing else on them.

#![cfg(target_os = "linux")]
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests wait with deadlines and print what they measure"
)]

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mdns_sd::{ServiceDaemon, ServiceEvent, ServiceInfo};
use parking_lot::{Condvar, Mutex};
use tandem_nearby::{Announcement, Nearby, NearbyChange, NeighbourId, Reach};
use tandem_tests::{Host, Network, Part, require};

const TIMEOUT: Duration = Duration::from_secs(20);
const SERVICE: &str = "_tandem._tcp.local.";
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
    let bea = Person::open(network.host(1), 2, "Bea");
    let seen = ann.sees(&["Bea"]);
    bea.sees(&["Ann"]);

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

    // Nobody repeats an announcement within a second (RFC 6762 §6), so two who open it in the same
    // second find each other in the next. By now, Ann has been quiet for longer.
    let opened = Instant::now();
    let cem = Person::open(network.host(1), 3, "Cem");
    cem.sees(&["Ann"]);
    ann.sees(&["Cem"]);
    println!("found after {} ms", opened.elapsed().as_millis());
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

/// Announces this many services that are no one's Tandem, from `host`, and waits until they have
/// arrived at `witness`.
fn flood(host: &Host, witness: &Host, services: usize) -> [ServiceDaemon; 2] {
    let [sender, receiver] = [host, witness].map(|host| host.run(ServiceDaemon::new).unwrap());
    let arrived = receiver.browse(SERVICE).unwrap();

    for number in 0..services {
        let (name, at) = (format!("flood-{number}"), "flood.local.");
        let service = ServiceInfo::new(SERVICE, &name, at, "192.168.7.3", 9, None).unwrap();
        // Its queue holds 100 commands.
        while let Err(mdns_sd::Error::Again) = sender.register(service.clone()) {
            std::thread::yield_now();
        }
    }

    let deadline = Instant::now() + TIMEOUT;
    let mut names = HashSet::new();
    while names.len() < services {
        match arrived.recv_deadline(deadline) {
            Ok(ServiceEvent::ServiceResolved(service))
                if service.get_fullname().contains("flood") =>
            {
                names.insert(service.get_fullname().to_owned());
            }
            Ok(_) => {}
            Err(error) => panic!("{error}: {} have arrived", names.len()),
        }
    }

    [sender, receiver]
}

#[test]
fn a_flood_does_not_end_the_search() {
    require!(Part::Network);
    let network = Network::start(4).unwrap();
    for number in 0..4 {
        let address = format!("192.168.7.{}/24", number + 1);
        network.host(number).add_address(&address).unwrap();
    }

    let ann = Person::open(network.host(0), 1, "Ann");
    ann.wait_for("hears itself", |seen| seen.reach == Reach::Heard);

    // Ann's thread waits here, while more happens than its queue holds.
    let busy = ann.seen.0.lock();
    let bea = Person::open(network.host(1), 2, "Bea");
    let daemons = flood(network.host(2), network.host(3), 600);
    drop(bea);
    drop(busy);

    ann.sees(&[]);
    let cem = Person::open(network.host(1), 3, "Cem");
    ann.sees(&["Cem"]);
    drop(cem);
    ann.sees(&[]);

    for daemon in daemons {
        daemon.shutdown().unwrap();
    }
}

/// How many multicast packets `host` has sent so far, for IPv4 and IPv6.
fn multicasts(host: &Host) -> u64 {
    let read = |path: &str| {
        let mut command = host.command("cat");
        let output = command.arg(path).output().expect("cat runs");
        String::from_utf8(output.stdout).expect("text")
    };

    let netstat = read("/proc/self/net/netstat");
    let mut lines = netstat
        .lines()
        .filter_map(|line| line.strip_prefix("IpExt: "));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let mut pairs = names.split(' ').zip(values.split(' '));
    let (_, v4) = pairs.find(|(name, _)| *name == "OutMcastPkts").unwrap();

    let snmp6 = read("/proc/self/net/snmp6");
    let mut lines = snmp6.lines();
    let v6 = lines
        .find_map(|line| line.strip_prefix("Ip6OutMcastPkts"))
        .unwrap();

    [v4, v6]
        .iter()
        .map(|count| count.trim().parse::<u64>().unwrap())
        .sum()
}

#[test]
fn after_a_minute_people_nearby_are_quiet() {
    const SETTLED: Duration = Duration::from_secs(60);
    const WATCHED: Duration = Duration::from_secs(30);

    require!(Part::Network);
    let network = Network::start(2).unwrap();
    network.host(0).add_address("192.168.7.1/24").unwrap();
    network.host(1).add_address("192.168.7.2/24").unwrap();
    let ann = Person::open(network.host(0), 1, "Ann");
    let bea = Person::open(network.host(1), 2, "Bea");
    ann.sees(&["Bea"]);

    std::thread::sleep(SETTLED);
    let before = [0, 1].map(|number| multicasts(network.host(number)));
    std::thread::sleep(WATCHED);
    for (number, before) in before.into_iter().enumerate() {
        let sent = multicasts(network.host(number)) - before;
        println!("host {number} sent {sent} multicast packets in {WATCHED:?}");
        // Each learns anew what the other announces, every two minutes and for both kinds of addresses:
        // 1.2 packets in ten seconds over five minutes.
        assert!(sent <= WATCHED.as_secs() / 5, "host {number} sent {sent}");
    }

    drop((ann, bea));
}
