//! A window with the list of people nearby open, on a network where someone lies, or rings without
//! end.

#![cfg(target_os = "linux")]
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests read the clock, print what they measure, and end at the first surprise"
)]

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use mdns_sd::{ServiceDaemon, ServiceEvent, ServiceInfo};
use serde_json::json;
use tandem_tests::neighbours::{is_in_call_with, ring, rings, sees};
use tandem_tests::process::wait_until;
use tandem_tests::window::{Home, TEST_MEDIA, TIMEOUT, Window};
use tandem_tests::{Host, Neighbours, Network, Part, PulseAudio, WireClient, require};

const SERVICE: &str = "_tandem._tcp.local.";
/// The port of a person nearby, if it was free, and the room in which anyone on the network rings.
const NEARBY: (u16, &str) = (9010, "nearby");

/// The room that someone else announces.
const ROOM: &str = "6f1d2c3b4a5968778695a4b3c2d1e0ff";

/// Opens and closes the settings.
fn assert_usable(window: &Window) {
    window.press("settings").expect("the button is there");
    window
        .wait_for_element("dialog[open]")
        .expect("the settings open");
    window.press("close-settings").expect("the button is there");
    window
        .wait_for_element("[data-action=settings]")
        .expect("they close");
}

/// How much memory the app's process uses, in MB.
fn memory_mb(window: &Window) -> f64 {
    let process = window.process_id().expect("the app runs");
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kilobytes: f64 = line
        .and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .expect("the kernel says how much");
    kilobytes / 1024.0
}

/// The services of someone who lies: of every kind that a Tandem must not show.
fn lies(number: usize) -> ServiceInfo {
    let id = format!("{:016x}", 0xbad0_0000 + number);
    let txt = |name: &str, version: &str, room: &str| {
        HashMap::from([
            ("v".to_owned(), version.to_owned()),
            ("name".to_owned(), name.to_owned()),
            ("room".to_owned(), room.to_owned()),
        ])
    };

    let (instance, address, port, txt) = match number % 5 {
        // Another person's name, at an address outside the network.
        0 => (id, "203.0.113.9", 9010, txt("Bea", "1", ROOM)),
        // A name as long as DNS allows, that is none.
        1 => (id, "198.51.100.7", 9010, txt(&"W".repeat(250), "1", ROOM)),
        2 => (id, "192.168.7.3", 9010, txt("Mallory", "9", ROOM)),
        3 => (id, "192.168.7.3", 9010, txt("Mallory", "1", "../../etc")),
        _ => (
            format!("not-an-id-{number}"),
            "192.168.7.3",
            9010,
            txt("Mallory", "1", ROOM),
        ),
    };
    // One host for each kind: it has the address of all its services.
    let host = format!("liar-{}.local.", number % 5);
    ServiceInfo::new(SERVICE, &instance, &host, address, port, txt).unwrap()
}

/// A service that is well-formed, and at an address of its announcer.
fn stranger() -> ServiceInfo {
    let txt = [("v", "1"), ("name", "Mallory"), ("room", ROOM)];
    let id = "00000000bad0ffff";
    ServiceInfo::new(
        SERVICE,
        id,
        "stranger.local.",
        "192.168.7.3",
        9010,
        &txt[..],
    )
    .unwrap()
}

/// Announces this many lies from `host` and one [`stranger`], and waits until all have arrived whole at
/// `witness`.
fn announce_lies(host: &Host, witness: &Host, count: usize) -> [ServiceDaemon; 2] {
    let [liar, listener] = [host, witness].map(|host| host.run(ServiceDaemon::new).unwrap());
    let heard = listener.browse(SERVICE).unwrap();
    for service in (0..count).map(lies).chain([stranger()]) {
        // Its queue holds 100 commands.
        while let Err(mdns_sd::Error::Again) = liar.register(service.clone()) {
            thread::yield_now();
        }
    }

    let deadline = Instant::now() + TIMEOUT;
    let mut names = HashSet::new();
    while names.len() < count + 1 {
        match heard.recv_deadline(deadline) {
            Ok(ServiceEvent::ServiceResolved(service)) => {
                let name = service.get_fullname().to_owned();
                let id = name.split('.').next().unwrap_or_default();
                if id.starts_with("not-an-id") || id.contains("bad0") {
                    names.insert(name);
                }
            }
            Ok(_) => {}
            Err(error) => panic!("{error}: {} have arrived", names.len()),
        }
    }

    [liar, listener]
}

#[test]
fn five_hundred_lying_services_hide_nobody_and_show_nobody() {
    require!(Part::Network);
    require!(Part::Window);
    let addresses = [1, 2, 3, 4].map(|number| format!("192.168.7.{number}/24"));
    let network = Network::with_addresses(&addresses.each_ref().map(String::as_str)).unwrap();
    let mut people = Neighbours::open(network, &["Ann"]).expect("a window");
    let before = memory_mb(people.windows::<1>()[0]);

    let network = people.network();
    // Its announcements name an address only on an interface that has it.
    for address in ["203.0.113.9/24", "198.51.100.7/24"] {
        network.host(2).add_address(address).unwrap();
    }
    let daemons = announce_lies(network.host(2), network.host(3), 500);
    let [ann] = people.windows();
    assert_usable(ann);
    sees(ann, &["Mallory"]).expect("nobody else is there");

    people
        .join("Bea", Home::new().unwrap(), &TEST_MEDIA)
        .expect("a second window");
    let [ann, bea] = people.windows();
    sees(ann, &["Bea", "Mallory"]).expect("and nobody else");
    sees(bea, &["Ann", "Mallory"]).expect("and nobody else");
    let after = memory_mb(ann);
    println!("memory: {before:.0} MB, {after:.0} MB with 500 lies");
    assert!(after < before + 64.0, "{before:.0} MB, then {after:.0} MB");

    ring(bea, "Ann").unwrap();
    rings(ann, "Bea").unwrap();
    ann.press("accept-call").unwrap();
    is_in_call_with(bea, "Ann").unwrap();

    for daemon in daemons {
        daemon.shutdown().unwrap();
    }
}

/// Someone who rings at an address again and again, from several connections at a time.
#[derive(Default)]
struct Flood {
    /// The attempts so far, refused connections included.
    attempts: AtomicUsize,
    /// The rings that were declined.
    declined: AtomicUsize,
    ends: AtomicBool,
}

impl Flood {
    /// Rings until the flood ends, each time until there is an answer.
    fn run(&self, server: SocketAddr) {
        let search = json!({
            "type": "find_partner", "room": NEARBY.1, "mustExist": true, "userName": "Mallory",
        });
        while !self.ends.load(Ordering::Relaxed) {
            self.attempts.fetch_add(1, Ordering::Relaxed);
            let answered = WireClient::connect(server).and_then(|mut client| {
                client.send(&search)?;
                client.receive("error")
            });
            if answered.is_ok_and(|error| error["code"] == "declined") {
                self.declined.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Waits until this many more attempts have been made, and rings declined.
    fn wait_for_more(&self, attempts: usize, declined: usize) {
        let counts = || [&self.attempts, &self.declined].map(|count| count.load(Ordering::Relaxed));
        let [attempts, declined] = {
            let [made, refused] = counts();
            [made + attempts, refused + declined]
        };
        wait_until("the flood goes on", TIMEOUT, || {
            let [made, refused] = counts();
            (made >= attempts && refused >= declined).then_some(())
        })
        .unwrap_or_else(|error| panic!("{error:#}: {:?}", counts()));
    }
}

#[test]
fn a_flood_of_rings_can_be_declined_and_keeps_nobody_else_from_ringing() {
    require!(Part::Network);
    require!(Part::Window);
    require!(Part::PulseAudio);
    let pulse = PulseAudio::start().expect("PulseAudio starts");
    let addresses = [1, 2, 3].map(|number| format!("192.168.7.{number}/24"));
    let network = Network::with_addresses(&addresses.each_ref().map(String::as_str)).unwrap();
    let mut people = Neighbours::open(network, &[]).expect("a screen");
    let home = Home::new().unwrap().with_sound_server(&pulse);
    people
        .join("Ann", home, &["--video", "test", "--audio", "test"])
        .expect("a window");
    people
        .join("Bea", Home::new().unwrap(), &TEST_MEDIA)
        .expect("another one");
    people.see_each_other().unwrap();
    let [ann, bea] = people.windows();
    let before = memory_mb(ann);
    let plays = || {
        let streams = pulse.control(&["list", "sink-inputs"]).expect("it answers");
        streams.contains("application.process.id")
    };

    let server = SocketAddr::from(([192, 168, 7, 1], NEARBY.0));
    let flood = Flood::default();
    let entrance = people.network().host(2).entrance();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| entrance.run(|| flood.run(server)));
        }
        let _end = EndOf(&flood);

        rings(ann, "Mallory").expect("the first one rings");
        wait_until("the ring is heard", TIMEOUT, || plays().then_some(())).unwrap();
        ann.press("decline-call").unwrap();

        // A caller who was declined does not ring again: for a minute, each attempt is declined unseen.
        flood.wait_for_more(1_000, 3);
        let state = ann.state().expect("the app answers");
        assert_eq!(state["incoming"], json!(null), "nobody rings");
        wait_until("it is silent", TIMEOUT, || (!plays()).then_some(())).unwrap();
        assert_usable(ann);
        let after = memory_mb(ann);
        println!("memory: {before:.0} MB, {after:.0} MB under the flood");
        assert!(after < before + 64.0, "{before:.0} MB, then {after:.0} MB");

        ring(bea, "Ann").unwrap();
        rings(ann, "Bea").expect("she gets through");
        ann.press("accept-call").unwrap();
        is_in_call_with(bea, "Ann").unwrap();
        is_in_call_with(ann, "Bea").unwrap();
    });
}

/// Ends the flood, also when the test fails.
struct EndOf<'a>(&'a Flood);

impl Drop for EndOf<'_> {
    fn drop(&mut self) {
        self.0.ends.store(true, Ordering::Relaxed);
    }
}
