//! A network of the test's own: hosts that are joined by a bridge and can reach nothing else. Each
//! is a network namespace, in which programs run with [`Host::command`].

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::process::tool;

/// A network. Dropping it takes it down; the programs in it should have ended before.
pub struct Network {
    switch: Namespace,
    hosts: Vec<Host>,
}

/// A host: `lo`, and `eth0` into the network. Both are up; `eth0` has its IPv6 link-local address
/// and no other.
pub struct Host {
    namespace: Namespace,
}

impl Network {
    /// A network with this many hosts.
    ///
    /// # Errors
    /// When this machine does not let this user make network namespaces: see
    /// [`Part::Network`](crate::Part::Network).
    pub fn start(hosts: usize) -> Result<Self> {
        let switch = Namespace::new()?;
        switch.ip(&["link", "add", "bridge", "type", "bridge"])?;
        switch.ip(&["link", "set", "bridge", "up"])?;

        let mut network = Self {
            switch,
            hosts: Vec::new(),
        };
        for number in 0..hosts {
            network.add_host(number)?;
        }

        for host in &network.hosts {
            host.wait_for_link_local()?;
        }

        Ok(network)
    }

    /// A network with a host for each of these addresses, such as `192.168.7.1/24`.
    ///
    /// # Errors
    /// As [`start`](Self::start), and when one is not an address.
    pub fn with_addresses(addresses: &[&str]) -> Result<Self> {
        let network = Self::start(addresses.len())?;
        for (host, address) in network.hosts.iter().zip(addresses) {
            host.add_address(address)?;
        }

        Ok(network)
    }

    fn add_host(&mut self, number: usize) -> Result<()> {
        let namespace = Namespace::new()?;
        // An address can be used at once, not only when no other host has objected for a while.
        namespace.run("sysctl", &["-qw", "net.ipv6.conf.default.accept_dad=0"])?;
        namespace.ip(&["link", "set", "lo", "up"])?;

        let port = format!("port{number}");
        self.switch.ip(&[
            "link",
            "add",
            &port,
            "type",
            "veth",
            "peer",
            "name",
            "eth0",
            "netns",
            &namespace.name,
        ])?;
        self.switch
            .ip(&["link", "set", &port, "master", "bridge", "up"])?;
        namespace.ip(&["link", "set", "eth0", "up"])?;

        self.hosts.push(Host { namespace });
        Ok(())
    }

    /// The number of the router in [`with_router`](Self::with_router).
    pub const ROUTER: usize = 2;

    /// The router's addresses, for the first host and for the second one.
    pub const ROUTER_IP: [&str; 2] = ["10.9.1.254", "10.9.2.254"];

    /// Two hosts in networks of their own, 10.9.1.1/24 and 10.9.2.1/24, and a third one that forwards
    /// between them. Without IPv6.
    ///
    /// # Errors
    /// When this machine does not let this user do that.
    pub fn with_router() -> Result<Self> {
        let network = Self::start(3)?;
        let router = network.host(Self::ROUTER);
        router.forward()?;
        for (number, ip) in Self::ROUTER_IP.into_iter().enumerate() {
            router.add_address(&format!("{ip}/24"))?;
            let host = network.host(number);
            host.without_ipv6()?;
            host.add_address(&format!("10.9.{}.1/24", number + 1))?;
            host.set_gateway(ip)?;
        }

        Ok(network)
    }

    /// Moves one of the two hosts of [`with_router`](Self::with_router) to another address of its
    /// network, by the last byte.
    ///
    /// # Errors
    /// When it does not have the first one.
    pub fn change_address(&self, number: usize, from: u8, to: u8) -> Result<()> {
        let host = self.host(number);
        let of = |last: u8| format!("10.9.{}.{last}/24", number + 1);
        host.remove_address(&of(from))?;
        host.add_address(&of(to))?;
        host.set_gateway(Self::ROUTER_IP[number])
    }

    /// Gives a host a second interface into the network, with this address.
    ///
    /// # Errors
    /// When there is one of this name, or it is not an address.
    pub fn add_interface(&self, number: usize, name: &str, address: &str) -> Result<()> {
        let port = format!("{name}{number}");
        let namespace = &self.hosts[number].namespace;
        let other_end = ["type", "veth", "peer", "name", name, "netns"];
        self.switch
            .ip(&[&["link", "add", &port][..], &other_end, &[&namespace.name]].concat())?;
        self.switch
            .ip(&["link", "set", &port, "master", "bridge", "up"])?;
        namespace.ip(&["link", "set", name, "up"])?;
        namespace.ip(&["address", "add", address, "dev", name])
    }

    /// Passes on no multicast from now on, as some access points and switches do. IPv6 does not work
    /// without it, and neither does finding people nearby.
    ///
    /// # Errors
    /// When this system's bridges cannot do that.
    pub fn block_multicast(&self) -> Result<()> {
        (0..self.hosts.len()).try_for_each(|number| {
            let port = format!("port{number}");
            let flags = ["type", "bridge_slave", "mcast_flood", "off"];
            self.switch
                .ip(&[&["link", "set", &port][..], &flags].concat())
        })
    }

    /// Lets nothing through to this host and from it any more, or again. The host does not notice.
    ///
    /// # Errors
    /// When there is no such host.
    pub fn cut_off(&self, number: usize, is_cut_off: bool) -> Result<()> {
        let port = format!("port{number}");
        let master: &[&str] = if is_cut_off {
            &["nomaster"]
        } else {
            &["master", "bridge"]
        };
        self.switch
            .ip(&[&["link", "set", &port][..], master].concat())
    }

    /// A host, by its number from 0.
    ///
    /// # Panics
    /// When there is no such host.
    pub fn host(&self, number: usize) -> &Host {
        &self.hosts[number]
    }
}

impl Host {
    /// A host without any network, only with `lo`.
    pub(crate) fn alone() -> Result<Self> {
        let namespace = Namespace::new()?;
        namespace.ip(&["link", "set", "lo", "up"])?;
        Ok(Self { namespace })
    }

    /// The name of its namespace.
    pub(crate) fn name(&self) -> &str {
        &self.namespace.name
    }

    /// Gives `eth0` an address, such as `192.168.7.1/24`.
    ///
    /// # Errors
    /// When it is not an address.
    pub fn add_address(&self, address: &str) -> Result<()> {
        self.namespace
            .ip(&["address", "add", address, "dev", "eth0"])
    }

    /// Takes an address from `eth0`, as it was given.
    ///
    /// # Errors
    /// When it has no such address.
    pub fn remove_address(&self, address: &str) -> Result<()> {
        self.namespace
            .ip(&["address", "del", address, "dev", "eth0"])
    }

    /// Turns IPv6 off on `eth0`.
    ///
    /// # Errors
    /// When this system has no IPv6.
    pub fn without_ipv6(&self) -> Result<()> {
        self.namespace
            .run("sysctl", &["-qw", "net.ipv6.conf.eth0.disable_ipv6=1"])
    }

    /// The system gives `eth0` its IPv6 link-local address a moment after it is up.
    fn wait_for_link_local(&self) -> Result<()> {
        if !Path::new("/proc/sys/net/ipv6").exists() {
            return Ok(());
        }

        let words = [
            "-n",
            &self.namespace.name,
            "-6",
            "address",
            "show",
            "dev",
            "eth0",
        ];
        let deadline = Instant::now() + Duration::from_secs(10);
        while !String::from_utf8_lossy(&tool("ip", words)?).contains("fe80") {
            ensure!(Instant::now() < deadline, "eth0 gets no link-local address");
            thread::sleep(Duration::from_millis(10));
        }

        Ok(())
    }

    /// Has the programs of this host ask this address for names. It need not exist.
    ///
    /// # Errors
    /// When this user may not write to `/etc/netns`.
    pub fn set_name_server(&self, ip: &str) -> Result<()> {
        let folder = self.namespace.files();
        std::fs::create_dir_all(&folder)?;
        // `ip netns exec` puts it in the place of the machine's.
        std::fs::write(folder.join("resolv.conf"), format!("nameserver {ip}\n"))?;
        Ok(())
    }

    /// Takes `eth0` down.
    ///
    /// # Errors
    /// When it is gone.
    pub fn take_down(&self) -> Result<()> {
        self.namespace.ip(&["link", "set", "eth0", "down"])
    }

    /// Takes `eth0` up again. Its IPv4 addresses have stayed.
    ///
    /// # Errors
    /// When it is gone.
    pub fn bring_up(&self) -> Result<()> {
        self.namespace.ip(&["link", "set", "eth0", "up"])
    }

    /// Adds an interface that leads nowhere, such as those of containers.
    ///
    /// # Errors
    /// When there is one of this name, or it is not an address.
    pub fn add_dead_end(&self, name: &str, address: &str) -> Result<()> {
        self.namespace
            .ip(&["link", "add", name, "type", "bridge"])?;
        self.namespace.ip(&["link", "set", name, "up"])?;
        self.namespace.ip(&["address", "add", address, "dev", name])
    }

    /// Sends what goes elsewhere through the host with this address.
    ///
    /// # Errors
    /// When it is not a neighbour.
    pub fn set_gateway(&self, ip: &str) -> Result<()> {
        self.set_gateway_on("eth0", ip)
    }

    /// The same through another interface.
    ///
    /// # Errors
    /// When it is not a neighbour there.
    pub fn set_gateway_on(&self, device: &str, ip: &str) -> Result<()> {
        self.namespace
            .ip(&["route", "replace", "default", "via", ip, "dev", device])
    }

    /// Sends what goes to `to`, such as `10.8.0.0/24`, through the interface `device`.
    ///
    /// # Errors
    /// When there is no such interface.
    pub fn add_route(&self, to: &str, device: &str) -> Result<()> {
        self.namespace.ip(&["route", "replace", to, "dev", device])
    }

    /// Forwards what others send through this host, unless it comes from where the way back does not
    /// lead (RFC 3704 §2.2), as the other end of a VPN does.
    ///
    /// # Errors
    /// When this system does not let this user do that.
    pub fn forward(&self) -> Result<()> {
        let settings = [
            "all.forwarding=1",
            "all.rp_filter=1",
            "all.send_redirects=0",
        ];
        settings.iter().try_for_each(|setting| {
            let setting = format!("net.ipv4.conf.{setting}");
            self.namespace.run("sysctl", &["-qw", &setting])
        })
    }

    /// Forwards no UDP, as some companies' and hotels' firewalls: it disappears. What is for this host is
    /// not forwarded.
    ///
    /// # Errors
    /// When this system's rules cannot tell protocols apart.
    pub fn block_udp(&self) -> Result<()> {
        self.add_rule("ipproto udp", "blackhole")
    }

    /// Forwards TCP to and from this port and nothing else.
    ///
    /// # Errors
    /// When this system's rules cannot tell ports apart.
    pub fn pass_only_tcp(&self, port: u16) -> Result<()> {
        self.add_rule(&format!("ipproto tcp dport {port}"), "lookup main")?;
        self.add_rule(&format!("ipproto tcp sport {port}"), "lookup main")?;
        self.add_rule("", "blackhole")
    }

    /// Forwards nothing.
    ///
    /// # Errors
    /// When this system does not let this user do that.
    pub fn pass_nothing(&self) -> Result<()> {
        self.add_rule("", "blackhole")
    }

    /// Adds a rule for routes behind those before: in front of the usual ones, and behind the one for this
    /// host itself.
    fn add_rule(&self, selector: &str, action: &str) -> Result<()> {
        static RULES: AtomicU32 = AtomicU32::new(1);
        let priority = RULES.fetch_add(1, Ordering::Relaxed).to_string();
        // Only what comes in to be forwarded: the system also asks for the way back to who asks for this
        // host's hardware address.
        let words = ["rule", "add", "iif", "eth0", "priority", &priority];
        let words = words
            .into_iter()
            .chain(selector.split_whitespace())
            .chain(action.split_whitespace());
        self.namespace.ip(&words.collect::<Vec<_>>())
    }

    /// Runs `work` on this host, on a thread of its own. Sockets and threads that it makes stay on
    /// the host.
    ///
    /// # Panics
    /// When the thread cannot enter the namespace, or `work` panics.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.entrance().run(work)
    }

    /// The way in, which does not keep the network.
    #[must_use]
    pub fn entrance(&self) -> Entrance {
        Entrance(self.namespace.name.clone())
    }

    /// A command that will run `program` on this host.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        self.namespace.command(program)
    }
}

/// The way into a [`Host`].
#[derive(Debug, Clone)]
pub struct Entrance(String);

impl Entrance {
    /// As [`Host::run`].
    ///
    /// # Panics
    /// When the host is gone, or `work` panics.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let path = format!("/run/netns/{}", self.0);
        let namespace = File::open(path).expect("the namespace exists");

        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                // SAFETY: a system call on a file that is open; it changes this thread only.
                let entered = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
                assert_eq!(entered, 0, "{}", std::io::Error::last_os_error());
                work()
            });
            thread.join().expect("the work on the host is done")
        })
    }
}

/// A network namespace. Dropping it removes it.
struct Namespace {
    name: String,
}

impl Namespace {
    fn new() -> Result<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("tandem-{}-{number}", std::process::id());

        tool("ip", ["netns", "add", &name])?;
        Ok(Self { name })
    }

    /// The files that its programs see in the place of those in `/etc`.
    fn files(&self) -> PathBuf {
        Path::new("/etc/netns").join(&self.name)
    }

    /// Runs `ip` for this namespace.
    fn ip(&self, words: &[&str]) -> Result<()> {
        tool("ip", [&["-n", &self.name], words].concat()).map(drop)
    }

    fn run(&self, program: &str, words: &[&str]) -> Result<()> {
        tool(
            "ip",
            [&["netns", "exec", &self.name, program], words].concat(),
        )
        .map(drop)
    }

    fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Most have none.
        let _ = std::fs::remove_dir_all(self.files());
        if let Err(error) = tool("ip", ["netns", "delete", &self.name]) {
            eprintln!(
                "the network namespace {} is left behind: {error:#}",
                self.name
            );
        }
    }
}

/// Checks that this user can make a network.
pub(crate) fn check() -> Result<(), String> {
    Network::start(1)
        .map(drop)
        .map_err(|error| format!("cannot make network namespaces: {error:#}"))
}
