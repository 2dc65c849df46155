//! tinyproxy, an HTTP proxy as companies have them, on a host of a network.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::network::Host;
use crate::part;
use crate::process::{Process, wait_until};

/// The port of the proxy.
const PORT: u16 = 8888;

/// A proxy that connects to port 443 of any address (RFC 9110 §9.3.6), and to no other. Killed when
/// dropped.
pub struct Tinyproxy {
    process: Process,
    _folder: TempDir,
}

impl Tinyproxy {
    /// Starts it on all addresses of a host, and waits until it takes connections.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_on(host: &Host) -> Result<Self> {
        let program = part::which("tinyproxy").context("tinyproxy is not installed")?;
        let folder = tempfile::tempdir().context("no folder for tinyproxy")?;
        let settings = folder.path().join("tinyproxy.conf");
        let text = format!("Port {PORT}\nTimeout 600\nConnectPort 443\nLogLevel Connect\n");
        std::fs::write(&settings, text)?;

        let mut command = host.command(program);
        command.arg("-d").arg("-c").arg(&settings);
        let mut process = Process::start(command)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
        let answers = || TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok();
        let started = wait_until("tinyproxy", Duration::from_secs(20), || {
            if process.is_running() {
                host.run(answers).then_some(true)
            } else {
                Some(false)
            }
        })?;
        if !started {
            bail!("tinyproxy ended: {}{}", process.stdout(), process.stderr());
        }

        Ok(Self {
            process,
            _folder: folder,
        })
    }

    /// The value of `HTTPS_PROXY`. `ip`: an address of its host.
    #[must_use]
    pub fn url(ip: &str) -> String {
        format!("http://{ip}:{PORT}")
    }

    /// How often somebody has asked for a connection to this address and port.
    #[must_use]
    pub fn asked_for(&self, target: &str) -> usize {
        let request = format!("CONNECT {target} ");
        let log = self.process.stdout();
        log.lines().filter(|line| line.contains(&request)).count()
    }
}
