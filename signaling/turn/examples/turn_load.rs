//! What a TURN server costs: CPU time for each packet, latency, and memory for each allocation.
//!
//! `turn_load own NAME=ADDRESS,PID …` measures this server, in a process of its own, and others with
//! the same time-limited credentials, such as coturn; `TURN_SECRET` is the secret of all of them. It
//! needs Linux, and reads the server's CPU time rather than the clock, so that other programs disturb
//! it little.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a command-line tool that measures"
)]

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tandem_turn::client::TurnClient;
use tandem_turn::{Quotas, Runner, RunnerConfig, password};

/// Calls at the same time; each has two allocations.
const PAIRS: usize = 20;
/// Rounds of packets. In each, both sides of each call send [`IN_FLIGHT`].
const ROUNDS: usize = 500;
/// Packets of one side that are on their way at once: what fits into small socket buffers.
const IN_FLIGHT: usize = 8;
/// The size of a media packet.
const PAYLOAD: [u8; 1200] = [7; 1200];
/// Single packets, for the latency.
const PINGS: usize = 2000;
/// Allocations, for the memory.
const ALLOCATIONS: usize = 200;
/// Between two of them: this server greets about 20 new clients of a network in a second.
const PAUSE: Duration = Duration::from_millis(60);
const CHANNEL: u16 = 0x4000;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A server to load.
struct Target {
    name: String,
    address: SocketAddr,
    pid: u32,
    secret: String,
    users: usize,
}

/// What it took.
struct Figures {
    cpu_per_packet: Duration,
    lost: f64,
    median: Duration,
    p99: Duration,
    bytes_per_allocation: i64,
}

impl Target {
    fn read(argument: &str, secret: &str) -> Result<Self> {
        let (name, rest) = argument.split_once('=').ok_or("NAME=ADDRESS,PID")?;
        let (address, pid) = rest.split_once(',').ok_or("NAME=ADDRESS,PID")?;
        Ok(Self {
            name: name.to_owned(),
            address: address.parse()?,
            pid: pid.parse()?,
            secret: secret.to_owned(),
            users: 0,
        })
    }

    /// A client of a user that is new.
    fn client(&mut self) -> Result<TurnClient> {
        self.users += 1;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let name = format!("{}:load{}", now + 600, self.users);
        let password = password(&self.secret, &name);
        Ok(TurnClient::new(self.address, &name, &password)?)
    }

    /// Two clients that are bound to each other.
    fn pair(&mut self) -> Result<[TurnClient; 2]> {
        let mut pair = [self.client()?, self.client()?];
        let relayed = [pair[0].allocate()?, pair[1].allocate()?];
        pair[0].bind(CHANNEL, relayed[1])?;
        pair[1].bind(CHANNEL, relayed[0])?;
        for client in &pair {
            client.set_timeout(Duration::from_millis(200))?;
        }
        Ok(pair)
    }

    /// CPU time that the process has used, of all its threads.
    fn cpu(&self) -> Result<Duration> {
        let text = std::fs::read_to_string(format!("/proc/{}/schedstat", self.pid))?;
        let main = text.split(' ').next().ok_or("schedstat")?.parse::<u64>()?;
        let mut total = 0;
        for task in std::fs::read_dir(format!("/proc/{}/task", self.pid))? {
            let text = std::fs::read_to_string(task?.path().join("schedstat"))?;
            total += text.split(' ').next().ok_or("schedstat")?.parse::<u64>()?;
        }
        Ok(Duration::from_nanos(total.max(main)))
    }

    /// Memory of the process, in bytes.
    fn memory(&self) -> Result<i64> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = text.lines().find(|line| line.starts_with("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1));
        Ok(kib.ok_or("VmRSS")?.parse::<i64>()? * 1024)
    }

    fn measure(&mut self) -> Result<Figures> {
        let pairs: Vec<[TurnClient; 2]> = (0..PAIRS).map(|_| self.pair()).collect::<Result<_>>()?;
        let before = self.cpu()?;
        let mut arrived = 0;
        for _ in 0..ROUNDS {
            for pair in &pairs {
                for client in pair {
                    for _ in 0..IN_FLIGHT {
                        client.send(CHANNEL, &PAYLOAD)?;
                    }
                }
                for client in pair {
                    arrived += (0..IN_FLIGHT)
                        .take_while(|_| client.receive().is_ok())
                        .count();
                }
            }
        }
        let used = self.cpu()?.saturating_sub(before);
        let sent = PAIRS * 2 * ROUNDS * IN_FLIGHT;

        let [one, other] = &pairs[0];
        let mut times: Vec<Duration> = (0..PINGS)
            .filter_map(|_| {
                let start = Instant::now();
                one.send(CHANNEL, &PAYLOAD).ok()?;
                other.receive().ok()?;
                Some(start.elapsed())
            })
            .collect();
        times.sort();
        let at = |share: f64| times[(times.len() as f64 * share) as usize];

        let before = self.memory()?;
        let clients: Vec<TurnClient> = (0..ALLOCATIONS)
            .map(|_| {
                std::thread::sleep(PAUSE);
                let mut client = self.client()?;
                client.allocate()?;
                Ok(client)
            })
            .collect::<Result<_>>()?;
        let grown = self.memory()? - before;
        for mut client in clients {
            client.refresh(0)?;
        }

        Ok(Figures {
            cpu_per_packet: used / u32::try_from(arrived.max(1))?,
            lost: 1.0 - arrived as f64 / sent as f64,
            median: at(0.5),
            p99: at(0.99),
            bytes_per_allocation: grown / i64::try_from(ALLOCATIONS)?,
        })
    }
}

/// This server, for as long as its process lives.
fn serve(secret: String) -> Result<()> {
    let runner = Runner::start(&RunnerConfig {
        listen: vec!["127.0.0.1:0".parse()?],
        external: Vec::new(),
        ports: 49_152..=65_535,
        allowed_peers: Vec::new(),
        denied_peers: Vec::new(),
        own: Vec::new(),
        quotas: Quotas {
            per_user: 0,
            per_address: 0,
            total: 0,
            user_bandwidth: 20_000_000_000,
            address_bandwidth: 0,
            total_bandwidth: 100_000_000_000,
        },
        secret,
        credential_lifetime: Duration::from_secs(3600),
    })?;
    println!("{}", runner.addresses()[0]);
    loop {
        std::thread::park();
    }
}

/// This server in a process of its own, killed when dropped.
struct Own(Child);

impl Own {
    fn start() -> Result<(Self, SocketAddr)> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.arg("serve").stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().ok_or("no output")?;
        let own = Self(child);
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        Ok((own, line.trim().parse()?))
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() -> Result<()> {
    let secret = std::env::var("TURN_SECRET")?;
    if std::env::args().nth(1).as_deref() == Some("serve") {
        return serve(secret);
    }

    println!(
        "| server | CPU per packet | packets/s per core | lost | latency p50 | p99 | memory per allocation |"
    );
    println!("|---|---|---|---|---|---|---|");
    for argument in std::env::args().skip(1) {
        let (_own, argument) = if argument == "own" {
            let (own, address) = Own::start()?;
            let argument = format!("own={address},{}", own.0.id());
            (Some(own), argument)
        } else {
            (None, argument)
        };
        let mut target = Target::read(&argument, &secret)?;
        let figures = target.measure()?;
        println!(
            "| {} | {:.2} µs | {:.0} | {:.2} % | {} µs | {} µs | {} B |",
            target.name,
            figures.cpu_per_packet.as_nanos() as f64 / 1000.0,
            1e9 / figures.cpu_per_packet.as_nanos() as f64,
            figures.lost * 100.0,
            figures.median.as_micros(),
            figures.p99.as_micros(),
            figures.bytes_per_allocation,
        );
    }
    Ok(())
}
