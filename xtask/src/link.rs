//! `cargo xtask link`: a simulated link between two network namespaces, for programs that are not
//! ours.

use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, channel};

use anyhow::{Context, Result, bail, ensure};
use tandem_link::tun::{End, TunLink};
use tandem_link::{Direction, LinkSpec, PROFILES};

use crate::shell::Shell;

/// The namespaces, unless others are named.
const NAMES: [&str; 2] = ["tandem-a", "tandem-b"];
/// The addresses of the two ends. The IPv6 ones are local (RFC 4193).
const ADDRESSES: [[&str; 2]; 2] = [
    ["10.77.0.1/24", "fd77::1/64"],
    ["10.77.0.2/24", "fd77::2/64"],
];

/// Joins two namespaces by the link that `words` describe, until Ctrl-C.
///
/// # Errors
/// When the description is none, or this user may not do that.
pub(crate) fn link(words: &[&str]) -> Result<ExitCode> {
    let (spec, names) = match words {
        ["profiles"] => {
            print!("{}", profiles());
            return Ok(ExitCode::SUCCESS);
        }
        [spec] => (spec, NAMES),
        [spec, a, b] => (spec, [*a, *b]),
        _ => bail!(
            "give a link and, if you want, two names: cargo xtask link rtt=50ms,loss=5% [A B]. \
             `cargo xtask link profiles` lists the links with names"
        ),
    };

    let spec: LinkSpec = spec.parse()?;
    ensure!(
        !spec.plan().rebinds(),
        "`rebind` needs a socket to change: give it to tandem as --link"
    );
    ensure!(names[0] != names[1], "the two namespaces need two names");

    let stop = stop_signals()?;
    let _namespaces = [Namespace::get(names[0])?, Namespace::get(names[1])?];
    let ends = [0, 1].map(|number| End {
        namespace: names[number],
        addresses: &ADDRESSES[number],
    });
    let link = TunLink::start(ends, spec.plan().clone())
        .with_context(|| format!("cannot join {} and {}", names[0], names[1]))?;

    println!("link {spec} is up until Ctrl-C");
    for (name, addresses) in names.iter().zip(ADDRESSES) {
        let [v4, v6] = addresses.map(|address| address.split('/').next().unwrap_or(address));
        println!("  ip netns exec {name} PROGRAM    runs at {v4} and {v6}");
    }

    // A sender that is gone is a reason to end, too.
    let _ = stop.recv();
    for (name, direction) in names.iter().zip(Direction::BOTH) {
        let counters = link.counters(direction);
        println!(
            "from {name}: {} packets sent, {} lost, {} dropped at the queue, {} arrived ({} bytes)",
            counters.sent,
            counters.lost,
            counters.dropped,
            counters.delivered,
            counters.delivered_bytes
        );
    }

    Ok(ExitCode::SUCCESS)
}

/// The links with names, for people.
fn profiles() -> String {
    PROFILES
        .iter()
        .map(|profile| {
            let source = profile.source.split_whitespace().collect::<Vec<_>>();
            format!(
                "{}: {}\n  {}\n  {}\n\n",
                profile.name,
                profile.about,
                profile.spec,
                source.join(" ")
            )
        })
        .collect()
}

/// Sends when the program should end.
fn stop_signals() -> Result<Receiver<()>> {
    // The signals are blocked for every thread, and one waits for them: nothing has to happen inside
    // a signal handler.
    let mut signals = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `sigemptyset` initializes the set, and the others take an initialized one.
    let signals = unsafe {
        libc::sigemptyset(signals.as_mut_ptr());
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            libc::sigaddset(signals.as_mut_ptr(), signal);
        }

        let signals = signals.assume_init();
        let blocked =
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const signals, std::ptr::null_mut());
        ensure!(blocked == 0, "cannot wait for signals");
        signals
    };

    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut number = 0;
        // SAFETY: both are values of this closure.
        unsafe { libc::sigwait(&raw const signals, &raw mut number) };
        let _ = sender.send(());
    });

    Ok(receiver)
}

/// A network namespace, removed at the end if it was made here.
struct Namespace {
    name: String,
    is_own: bool,
}

impl Namespace {
    fn get(name: &str) -> Result<Self> {
        ensure!(
            !name.is_empty() && !name.contains('/'),
            "`{name}` is no name for a namespace"
        );

        let is_own = !Path::new("/run/netns").join(name).exists();
        if is_own {
            Shell::new("ip", ["netns", "add", name]).output()?;
            Shell::new("ip", ["-n", name, "link", "set", "lo", "up"]).output()?;
        }

        Ok(Self {
            name: name.to_owned(),
            is_own,
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if !self.is_own {
            return;
        }

        // Programs that still run in it keep it; its name is free then.
        if let Err(error) = Shell::new("ip", ["netns", "delete", &self.name]).output() {
            eprintln!("the namespace {} is left behind: {error:#}", self.name);
        }
    }
}
