//! Calls that outlive a change of the network, on hosts of their own.
#![cfg(target_os = "linux")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests run in real time, and may panic"
)]

mod support;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tandem_call::{Call, CallEventKind, CallOptions};
use tandem_media::VideoFrame;
use tandem_signaling::ServerUrl;
use tandem_signaling::server::SignalingServer;
use tandem_tests::{Entrance, Network, Part, require};
use tokio::sync::oneshot;

/// How long anything may take that should take a moment.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What runs on a host until it is dropped.
struct Running {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// Runs `work` on a host; it ends when its receiver does.
    fn start<F: Future<Output = ()>>(
        entrance: Entrance,
        work: impl FnOnce(oneshot::Receiver<()>) -> F + Send + 'static,
    ) -> Self {
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            entrance.run(|| {
                let runtime = tokio::runtime::Builder::new_multi_thread()
                    .worker_threads(1)
                    .enable_all()
                    .build()
                    .expect("a runtime");
                runtime.block_on(work(stopped));
            });
        });

        Self {
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("what ran on a host has panicked");
        }
    }
}

/// What one side of a call has seen.
#[derive(Default)]
struct Seen {
    /// When its partner's frames were decoded.
    frames: Vec<Instant>,
    events: Vec<CallEventKind>,
}

/// One side of a call on a host.
struct Side {
    seen: Arc<Mutex<Seen>>,
    _running: Running,
}

impl Side {
    fn start(entrance: Entrance, mut options: CallOptions) -> Self {
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let (frames, events) = (Arc::clone(&seen), Arc::clone(&seen));
        options.on_remote_frame = Some(Arc::new(move |_: &VideoFrame| {
            frames.lock().frames.push(Instant::now());
        }));

        let running = Running::start(entrance, |mut stopped| async move {
            let (call, mut from_call) = Call::start(options);
            loop {
                tokio::select! {
                    event = from_call.recv() => match event {
                        Some(event) => events.lock().events.push(event.kind),
                        None => break,
                    },
                    _ = &mut stopped => break,
                }
            }

            call.hang_up().await;
        });

        Self {
            seen,
            _running: running,
        }
    }

    /// Waits until frames come and have come for a second.
    fn wait_until_it_runs(&self) {
        self.wait_until_it_runs_after(Instant::now() - Duration::from_secs(1));
    }

    fn wait_until_it_runs_after(&self, since: Instant) {
        let running = || {
            let second_ago = Instant::now() - Duration::from_secs(1);
            let seen = self.seen.lock();
            let newest = seen.frames.iter().filter(|at| **at > second_ago);
            second_ago >= since && newest.count() > 20
        };
        wait_until("frames come", || self.events(), running);
    }

    /// The longest time without a frame since `since`, once frames come again.
    fn gap(&self, since: Instant) -> Duration {
        // A frame that waits for its audio may still be shown in between.
        self.wait_until_it_runs_after(since + Duration::from_secs(1));
        let seen = self.seen.lock();
        let first = seen.frames.partition_point(|at| *at < since);
        let frames = seen.frames[first.saturating_sub(1)..].windows(2);
        let gaps = frames.map(|pair| pair[1] - pair[0]);
        gaps.max().expect("frames have come")
    }

    fn events(&self) -> String {
        format!("{:?}", self.seen.lock().events)
    }

    fn has_ended(&self) -> bool {
        let seen = self.seen.lock();
        let mut events = seen.events.iter();
        events.any(|event| matches!(event, CallEventKind::Ended { .. }))
    }

    fn was_reconnecting(&self) -> bool {
        let seen = self.seen.lock();
        let mut events = seen.events.iter();
        events.any(|event| matches!(event, CallEventKind::PartnerReconnecting { .. }))
    }
}

fn wait_until(what: &str, state: impl Fn() -> String, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: {}", state());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// How many threads of this process decode video.
fn decode_threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux lists threads");
    let names =
        tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names
        .filter(|name| name.trim_end() == "video-decode")
        .count()
}

/// Two hosts in a call, and a third one with the signaling server.
struct Rig {
    network: Network,
    sides: [Side; 2],
    _server: Running,
}

impl Rig {
    fn start() -> Self {
        let network = Network::start(3).unwrap();
        for (number, address) in ["10.9.0.1/24", "10.9.0.2/24", "10.9.0.3/24"]
            .into_iter()
            .enumerate()
        {
            network.host(number).add_address(address).unwrap();
            network.host(number).without_ipv6().unwrap();
        }

        let (started, url) = std::sync::mpsc::channel();
        let server = Running::start(network.host(2).entrance(), |stopped| async move {
            let server = SignalingServer::builder()
                .listen("10.9.0.3:0")
                .start()
                .await
                .expect("a port is free");
            let url = ServerUrl::listening_on(server.local_addr());
            started.send(url).expect("the test waits for it");
            let _ = stopped.await;
            server.shutdown().await;
        });
        let url = url.recv_timeout(TIMEOUT).expect("the server starts");

        let room = support::room();
        let sides = [0, 1].map(|number| {
            let options = support::options(url.clone(), &room);
            Side::start(network.host(number).entrance(), options)
        });
        for side in &sides {
            side.wait_until_it_runs();
        }

        Self {
            network,
            sides,
            _server: server,
        }
    }

    /// The longer of the two sides' gaps after `since`. Neither call may have ended.
    fn gap(&self, since: Instant) -> Duration {
        let [first, second] = &self.sides;
        let gap = first.gap(since).max(second.gap(since));
        assert!(!first.has_ended() && !second.has_ended());
        gap
    }
}

#[test]
fn a_call_outlives_another_address() {
    require!(Part::Network);
    let rig = Rig::start();
    let mut gaps = Vec::new();
    for round in 0..4 {
        let number = round % 2;
        let host = rig.network.host(number);
        let old = |round| match round {
            0 | 1 => format!("10.9.0.{}/24", number + 1),
            _ => format!("10.9.0.{}/24", 10 + round - 2),
        };
        let since = Instant::now();
        host.remove_address(&old(round)).unwrap();
        host.add_address(&format!("10.9.0.{}/24", 10 + round))
            .unwrap();
        gaps.push(rig.gap(since));
    }

    eprintln!("media came back after {gaps:?}");
    let threads = || format!("{} threads", decode_threads());
    wait_until("one thread a side", threads, || decode_threads() == 2);
    gaps.sort();
    assert!(gaps[1] <= Duration::from_secs(1), "the median: {gaps:?}");
    assert!(gaps[3] <= Duration::from_secs(2), "all: {gaps:?}");
}

#[test]
fn a_call_outlives_twenty_seconds_without_a_packet() {
    require!(Part::Network);
    let rig = Rig::start();
    let outage = Duration::from_secs(20);
    let since = Instant::now();
    rig.network.cut_off(0, true).unwrap();
    std::thread::sleep(outage);
    assert!(rig.sides.iter().all(Side::was_reconnecting));

    rig.network.cut_off(0, false).unwrap();
    let gap = rig.gap(since);
    eprintln!("media came back after {:?}", gap - outage);
    assert!(gap <= outage + Duration::from_secs(4), "{gap:?}");
}
