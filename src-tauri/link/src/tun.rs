//! A link between two network namespaces: a TUN device in each, and a [`Route`] between them, for
//! programs that are not ours.
//!
//! Needs Linux, `ip` and the permission to administer networks. The kernel's own `netem` would do
//! much of this, but many kernels are built without it.
#![expect(
    clippy::disallowed_methods,
    reason = "a shell: it runs a route on real time"
)]

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Direction, LinkCounters, Plan, Route};

/// The name of the device in both namespaces.
pub const DEVICE: &str = "link0";
/// The longest IP packet, bytes: the devices' MTU, which is that of Ethernet.
const MTU: usize = 1_500;
/// How often the engine looks whether it should end.
const MAX_SLEEP: Duration = Duration::from_millis(20);
/// Packets read from a device before the other one gets its turn.
const BURST: usize = 64;

type SharedRoute = Arc<Mutex<Route<Vec<u8>>>>;

/// One end of the link.
#[derive(Debug, Clone, Copy)]
pub struct End<'a> {
    /// The network namespace, as `ip netns` names it.
    pub namespace: &'a str,
    /// The addresses of the device with their prefixes, such as `10.77.0.1/24`.
    pub addresses: &'a [&'a str],
}

/// A running link. Dropping it removes the devices.
#[derive(Debug)]
pub struct TunLink {
    route: SharedRoute,
    stop: Arc<AtomicBool>,
    engine: Option<JoinHandle<()>>,
}

impl TunLink {
    /// Makes the devices and begins the plan. Up is from the first end to the second.
    ///
    /// # Errors
    /// When a namespace does not exist, it has such a device already, or this user may not make
    /// one.
    pub fn start(ends: [End<'_>; 2], plan: Plan) -> io::Result<Self> {
        let devices = [device(&ends[0])?, device(&ends[1])?];
        let route = Arc::new(Mutex::new(Route::new(Instant::now(), plan)));
        let stop = Arc::new(AtomicBool::new(false));

        let engine = Engine {
            devices,
            route: Arc::clone(&route),
            stop: Arc::clone(&stop),
        };
        let thread = std::thread::Builder::new()
            .name("link".into())
            .spawn(move || engine.run())?;

        Ok(Self {
            route,
            stop,
            engine: Some(thread),
        })
    }

    /// What has happened to the packets of this direction.
    #[must_use]
    pub fn counters(&self, direction: Direction) -> LinkCounters {
        lock(&self.route).counters(direction)
    }
}

impl Drop for TunLink {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(engine) = self.engine.take() {
            // It ends within `MAX_SLEEP`; if it has panicked, that was printed.
            let _ = engine.join();
        }
    }
}

/// A panic in between leaves the route as it was.
fn lock(route: &SharedRoute) -> MutexGuard<'_, Route<Vec<u8>>> {
    route.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What moves the packets: one thread for both directions.
struct Engine {
    devices: [File; 2],
    route: SharedRoute,
    stop: Arc<AtomicBool>,
}

impl Engine {
    fn run(mut self) {
        let mut buffer = [0; MTU];
        while !self.stop.load(Relaxed) {
            self.wait();
            for direction in Direction::BOTH {
                self.read(direction, &mut buffer);
            }

            for direction in Direction::BOTH {
                self.deliver(direction);
            }
        }
    }

    /// Until a device has a packet, or the route has something to do.
    fn wait(&self) {
        let next = lock(&self.route).next_event();
        let sleep = next.map_or(MAX_SLEEP, |next| {
            next.saturating_duration_since(Instant::now())
                .min(MAX_SLEEP)
        });

        let mut polled = self.devices.each_ref().map(|device| libc::pollfd {
            fd: device.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        });
        let timeout = libc::timespec {
            tv_sec: 0,
            tv_nsec: i64::from(sleep.subsec_nanos()),
        };

        // SAFETY: both pointers are to values of this function, the third may be null. A failure is
        // an interruption: the caller comes back.
        unsafe { libc::ppoll(polled.as_mut_ptr(), 2, &raw const timeout, std::ptr::null()) };
    }

    fn read(&mut self, direction: Direction, buffer: &mut [u8]) {
        for _ in 0..BURST {
            let Ok(length) = self.devices[direction.index()].read(buffer) else {
                return;
            };

            let packet = buffer[..length].to_vec();
            lock(&self.route).send(Instant::now(), direction, length, packet);
        }
    }

    fn deliver(&mut self, direction: Direction) {
        let to = 1 - direction.index();
        loop {
            let packet = lock(&self.route).poll(Instant::now(), direction);
            let Some(packet) = packet else {
                return;
            };

            // A device that is down takes nothing, as a cable that was pulled.
            let _ = self.devices[to].write(&packet);
        }
    }
}

/// Makes the device of one end.
fn device(end: &End<'_>) -> io::Result<File> {
    let namespace = File::open(format!("/run/netns/{}", end.namespace))?;
    // A thread enters the namespace and ends there, so that the others stay where they are.
    let device = std::thread::scope(|scope| {
        let entered = scope.spawn(|| {
            // SAFETY: a system call on a file that is open; it changes this thread only.
            if unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) } != 0 {
                return Err(io::Error::last_os_error());
            }

            open()
        });
        entered.join().map_err(|_| io::Error::other("a panic"))?
    })?;

    for address in end.addresses {
        // Without duplicate address detection an IPv6 address can be used at once.
        let nodad: &[&str] = if address.contains(':') {
            &["nodad"]
        } else {
            &[]
        };
        let words = ["address", "add", address, "dev", DEVICE];
        ip(end.namespace, &[&words, nodad].concat())?;
    }

    let mtu = MTU.to_string();
    ip(end.namespace, &["link", "set", DEVICE, "mtu", &mtu, "up"])?;

    // Firefox finds its own address by the default route. One that was there goes first.
    ip(
        end.namespace,
        &["route", "add", "default", "dev", DEVICE, "metric", "2000"],
    )?;
    Ok(device)
}

/// Opens a TUN device of the thread's namespace, which lives until the file is closed.
fn open() -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/net/tun")?;

    // SAFETY: a plain C struct, for which zeroes are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(DEVICE.bytes()) {
        *to = from as libc::c_char;
    }

    // IP packets, without four bytes of flags before them.
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;

    // SAFETY: the file is open, and the request is what this call takes.
    let made = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    if made < 0 {
        return Err(io::Error::last_os_error());
    }

    Ok(file)
}

fn ip(namespace: &str, words: &[&str]) -> io::Result<()> {
    let output = Command::new("ip")
        .args(["-n", namespace])
        .args(words)
        .output()?;
    if output.status.success() {
        return Ok(());
    }

    Err(io::Error::other(format!(
        "ip {}: {}",
        words.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    )))
}
