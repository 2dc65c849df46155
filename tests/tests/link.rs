//! The simulated link over real TUN devices does what it is asked to.

#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods, reason = "tests run in real time")]

use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use tandem_link::{Direction, LinkCounters};
use tandem_tests::{LinkedHosts, Part, require};

/// Bytes of a packet on the link: IPv4 and UDP headers and the payload.
const PACKET: usize = 1_250;
const HEADERS: usize = 28;
const PORT: u16 = 5_000;
/// After this long without a packet, none is under way any more.
const SILENCE: Duration = Duration::from_millis(1_500);

/// A packet that arrived: its number, and when it was sent and arrived since the start.
#[derive(Debug, Clone, Copy)]
struct Arrival {
    number: u32,
    sent: Duration,
    arrived: Duration,
}

/// Sends `packets` from one host to the other, one every `every`, and returns what arrived.
fn run(link: &LinkedHosts, direction: Direction, packets: u32, every: Duration) -> Vec<Arrival> {
    let (from, to) = match direction {
        Direction::Up => (0, 1),
        Direction::Down => (1, 0),
    };
    let address = SocketAddr::from((LinkedHosts::ip(to), PORT));
    let start = Instant::now();

    let bind = |host: usize, address: SocketAddr| {
        link.host(host)
            .run(|| UdpSocket::bind(address).expect("the host has this address"))
    };
    let receiver = bind(to, address);
    let sender = bind(from, SocketAddr::from((LinkedHosts::ip(from), 0)));

    thread::scope(|scope| {
        let arrivals = scope.spawn(|| receive(&receiver, start));
        let mut payload = [0; PACKET - HEADERS];
        for number in 0..packets {
            let due = start + every * number;
            thread::sleep(due.saturating_duration_since(Instant::now()));

            payload[..4].copy_from_slice(&number.to_be_bytes());
            let sent = u64::try_from(start.elapsed().as_nanos()).expect("a short test");
            payload[4..12].copy_from_slice(&sent.to_be_bytes());
            sender.send_to(&payload, address).expect("the device is up");
        }

        arrivals.join().expect("the receiver ends")
    })
}

fn receive(socket: &UdpSocket, start: Instant) -> Vec<Arrival> {
    socket
        .set_read_timeout(Some(SILENCE))
        .expect("a timeout can be set");
    let (mut buffer, mut arrivals) = ([0; PACKET], Vec::new());
    // The first packet may take a moment longer.
    let mut patience = 4;

    loop {
        if socket.recv(&mut buffer).is_ok() {
            patience = 1;
            let sent = u64::from_be_bytes(buffer[4..12].try_into().expect("eight bytes"));
            arrivals.push(Arrival {
                number: u32::from_be_bytes(buffer[..4].try_into().expect("four bytes")),
                sent: Duration::from_nanos(sent),
                arrived: start.elapsed(),
            });
        } else {
            patience -= 1;
            if patience == 0 {
                return arrivals;
            }
        }
    }
}

/// The link's own account, once `sent` packets have entered it. Other packets, such as those of
/// IPv6, may be among them.
fn counters(link: &LinkedHosts, direction: Direction, sent: u32) -> LinkCounters {
    let counters = link.counters(direction);
    assert!(counters.sent >= u64::from(sent), "{counters:?}");
    counters
}

const MS: Duration = Duration::from_millis(1);

#[test]
fn packets_take_as_long_as_they_should_each_way() {
    require!(Part::Tun);
    let link = LinkedHosts::start("up.delay=40ms,down.delay=90ms").expect("a link");

    for (direction, delay) in [(Direction::Up, 40), (Direction::Down, 90)] {
        let arrivals = run(&link, direction, 100, MS * 5);
        assert_eq!(arrivals.len(), 100, "nothing is lost");

        let mut delays: Vec<Duration> = arrivals.iter().map(|a| a.arrived - a.sent).collect();
        delays.sort();
        assert!(delays[0] >= MS * delay, "the fastest took {:?}", delays[0]);

        // The typical packet is late by the scheduling of this machine only.
        let median = delays[50];
        assert!(median < MS * (delay + 30), "half took over {median:?}");
        println!(
            "{direction:?}: {delay} ms asked, {:?} to {median:?}",
            delays[0]
        );
    }
}

#[test]
fn as_many_packets_are_lost_as_should_be() {
    require!(Part::Tun);
    let link = LinkedHosts::start("up.loss=10%,down.loss=3%,down.burst=5").expect("a link");

    for (direction, loss) in [(Direction::Up, 0.10), (Direction::Down, 0.03)] {
        let arrivals = run(&link, direction, 6_000, Duration::from_micros(300));
        let lost = 1.0 - arrivals.len() as f64 / 6_000.0;
        assert!(
            (lost - loss).abs() < 0.015,
            "{loss} was asked for, got {lost}"
        );

        let counters = counters(&link, direction, 6_000);
        let account = counters.lost as f64 / counters.sent as f64;
        assert!((account - lost).abs() < 0.005, "{counters:?}, lost {lost}");
        println!("{direction:?}: {loss} asked, {lost:.3} lost");
    }

    // Twice as many gaps would mean bursts of half the length.
    let arrivals = run(&link, Direction::Down, 6_000, Duration::from_micros(300));
    let gaps = arrivals
        .windows(2)
        .filter(|pair| pair[1].number > pair[0].number + 1)
        .count();
    let burst = (6_000 - arrivals.len()) as f64 / gaps as f64;
    assert!((3.0..8.0).contains(&burst), "bursts of {burst} packets");
}

#[test]
fn a_rate_limits_what_arrives_and_its_queue_what_waits() {
    require!(Part::Tun);
    let link = LinkedHosts::start("rate=2M,up.queue=1MB,down.queue=25KB").expect("a link");

    // 400 packets at once: two seconds of the rate, all of which fit into the queue.
    let arrivals = run(&link, Direction::Up, 400, Duration::ZERO);
    assert_eq!(arrivals.len(), 400, "the queue is large enough");
    let span = arrivals[399].arrived - arrivals[0].arrived;
    let rate = 399.0 * PACKET as f64 * 8.0 / span.as_secs_f64();
    assert!((1.9e6..2.1e6).contains(&rate), "2 Mbit/s, got {rate}");

    // The other way, twenty packets fit. Those wait for 100 ms at most.
    let arrivals = run(&link, Direction::Down, 400, Duration::ZERO);
    let counters = counters(&link, Direction::Down, 400);
    assert!(
        (20..60).contains(&arrivals.len()),
        "twenty, and those that left while the others came: {}",
        arrivals.len()
    );
    assert!(counters.dropped >= 340, "{counters:?}");
    let numbers: Vec<u32> = arrivals.iter().map(|arrival| arrival.number).collect();
    assert!(numbers.is_sorted(), "a queue keeps the order: {numbers:?}");
    println!("{rate:.0} bit/s, {} of 400 through 25 KB", arrivals.len());
}

#[test]
fn an_outage_comes_and_goes_when_it_should() {
    require!(Part::Tun);
    let start = Instant::now();
    let link = LinkedHosts::start("delay=0ms;@2s outage=on;@3s outage=off").expect("a link");
    // The plan begins within the call above.
    let made = start.elapsed();

    let offset = start.elapsed();
    let arrivals = run(&link, Direction::Up, 400, MS * 10);
    // When each packet was sent, since the start of the plan at the latest.
    let at = |sent: Duration| sent + offset;
    let (from, to) = (MS * 2_000, MS * 3_000 + made);

    let before = arrivals.iter().filter(|a| at(a.sent) < from).count();
    let after = arrivals.iter().filter(|a| at(a.sent) > to).count();
    let during = arrivals
        .iter()
        .filter(|a| (from + made..to - made).contains(&at(a.sent)))
        .count();
    assert_eq!(during, 0, "nothing passes in the outage");
    assert!(before > 100 && after > 50, "{before} before, {after} after");

    let missing = 400 - arrivals.len();
    let first = arrivals
        .windows(2)
        .find(|pair| pair[1].number > pair[0].number + 1);
    assert_eq!(
        first.map(|pair| (pair[1].number - pair[0].number - 1) as usize),
        Some(missing),
        "all that is missing is missing in one piece"
    );
}
