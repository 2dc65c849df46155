//! Sides of calls on hosts of a test's network, in this process, and what they saw.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tandem_call::{Call, CallEventKind, CallOptions};
use tandem_media::VideoFrame;
use tandem_signaling::server::{SignalingServer, SignalingServerBuilder};
use tandem_tests::authority::Identity;
use tandem_tests::{Coturn, Entrance, Network};
use tandem_trust::Badge;
use tokio::sync::oneshot;

/// How long anything may take that should take a moment.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

/// What runs on a host until it is dropped.
pub(crate) struct Running {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// Runs `work` on a host, or on this machine; it ends when its receiver does.
    pub(crate) fn start<F: Future<Output = ()>>(
        entrance: Option<Entrance>,
        work: impl FnOnce(oneshot::Receiver<()>) -> F + Send + 'static,
    ) -> Self {
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let work = || {
                let runtime = tokio::runtime::Builder::new_multi_thread()
                    .worker_threads(1)
                    .enable_all()
                    .build()
                    .expect("a runtime");
                runtime.block_on(work(stopped));
            };
            match entrance {
                Some(entrance) => entrance.run(work),
                None => work(),
            }
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
pub(crate) struct Seen {
    /// When its partner's frames were decoded.
    pub(crate) frames: Vec<Instant>,
    events: Vec<CallEventKind>,
}

/// One side of a call on a host.
pub(crate) struct Side {
    pub(crate) seen: Arc<Mutex<Seen>>,
    _running: Running,
}

impl Side {
    pub(crate) fn start(entrance: Option<Entrance>, mut options: CallOptions) -> Self {
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
    pub(crate) fn wait_until_it_runs(&self) {
        self.wait_until_it_runs_after(Instant::now() - Duration::from_secs(1));
    }

    pub(crate) fn wait_until_it_runs_after(&self, since: Instant) {
        let running = || {
            let second_ago = Instant::now() - Duration::from_secs(1);
            let seen = self.seen.lock();
            let newest = seen.frames.iter().filter(|at| **at > second_ago);
            second_ago >= since && newest.count() > 20
        };
        wait_until("frames come", || self.events(), running);
    }

    /// The longest time without a frame since `since`, once frames come again.
    pub(crate) fn gap(&self, since: Instant) -> Duration {
        // A frame that waits for its audio may still be shown in between.
        self.wait_until_it_runs_after(since + Duration::from_secs(1));
        let seen = self.seen.lock();
        let first = seen.frames.partition_point(|at| *at < since);
        let frames = seen.frames[first.saturating_sub(1)..].windows(2);
        let gaps = frames.map(|pair| pair[1] - pair[0]);
        gaps.max().expect("frames have come")
    }

    pub(crate) fn events(&self) -> String {
        format!("{:?}", self.seen.lock().events)
    }

    pub(crate) fn has_ended(&self) -> bool {
        let seen = self.seen.lock();
        let mut events = seen.events.iter();
        events.any(|event| matches!(event, CallEventKind::Ended { .. }))
    }

    /// What the badge has said, in order.
    pub(crate) fn badges(&self) -> Vec<Badge> {
        let seen = self.seen.lock();
        let badges = seen.events.iter().filter_map(|event| match event {
            CallEventKind::Verification(state) => Some(state.badge),
            _ => None,
        });
        badges.collect()
    }

    pub(crate) fn was_reconnecting(&self) -> bool {
        let seen = self.seen.lock();
        let mut events = seen.events.iter();
        events.any(|event| matches!(event, CallEventKind::PartnerReconnecting { .. }))
    }
}

pub(crate) fn wait_until(what: &str, state: impl Fn() -> String, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: {}", state());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The host with the servers, of three. The other two are in networks of their own and reach
/// everything through it.
pub(crate) const SERVERS: usize = 2;
/// Its addresses in the two networks.
pub(crate) const SERVERS_IP: [&str; 2] = ["10.9.1.254", "10.9.2.254"];

/// Two networks with a host in each, 10.9.1.1 and 10.9.2.1, and a router between them, which has the
/// servers.
pub(crate) fn routed_network() -> Network {
    let network = Network::start(3).expect("a network of three");
    for number in 0..3 {
        let host = network.host(number);
        host.without_ipv6().expect("it has IPv6");
    }

    let servers = network.host(SERVERS);
    servers.forward().expect("it is a router");
    for (number, ip) in SERVERS_IP.into_iter().enumerate() {
        servers
            .add_address(&format!("{ip}/24"))
            .expect("an address");
        let host = network.host(number);
        host.add_address(&format!("10.9.{}.1/24", number + 1))
            .expect("an address");
        host.set_gateway(ip).expect("a neighbour");
    }

    network
}

/// A TURN server for both networks.
pub(crate) fn coturn(network: &Network) -> Coturn {
    let ip = SERVERS_IP[0].parse().expect("an address");
    Coturn::start_on(network.host(SERVERS), ip, "a shared secret").expect("coturn starts")
}

/// A signaling server for both networks, and its port. Stopping it kills it.
pub(crate) fn signaling(
    network: &Network,
    identity: Option<&Identity>,
    turn: Option<&Coturn>,
) -> (Running, u16) {
    let mut builder: SignalingServerBuilder = SignalingServer::builder().listen("0.0.0.0:0");
    if let Some(identity) = identity {
        builder = builder.tls(&identity.cert, &identity.key);
    }

    if let Some(turn) = turn {
        let hour = Duration::from_secs(3_600);
        builder = builder.turn(vec![turn.url()], turn.secret(), hour);
    }

    let (started, port) = std::sync::mpsc::channel();
    let entrance = network.host(SERVERS).entrance();
    let server = Running::start(Some(entrance), |stopped| async move {
        let server = builder.start().await.expect("a port is free");
        let port = server.local_addr().port();
        started.send(port).expect("the test waits for it");
        let _ = stopped.await;
    });
    (
        server,
        port.recv_timeout(TIMEOUT).expect("the server starts"),
    )
}
