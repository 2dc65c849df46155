//! What a host sends and receives, packet by packet, as the kernel sees it (packet(7)), whatever program
//! it belongs to.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result};
use parking_lot::Mutex;

use crate::network::Host;

/// Bytes that may wait in the kernel: a call of some seconds, should this thread not get to run.
const BUFFER: libc::c_int = 16 << 20;
/// The largest packet.
const MTU: usize = 65_536;
const UDP: u8 = 17;
const TCP: u8 = 6;

/// The protocol in an IP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// A UDP datagram.
    Udp,
    /// A TCP segment.
    Tcp,
    /// What hosts tell each other about the network itself.
    Other,
}

/// An IP packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Its source. The port is 0 where the protocol has none.
    pub source: SocketAddr,
    /// Its destination.
    pub destination: SocketAddr,
    /// What it carries.
    pub transport: Transport,
    /// What the datagram or segment carries.
    pub payload: Vec<u8>,
}

/// Records every IP packet on all interfaces of a host, until it is dropped.
pub struct Capture {
    packets: Arc<Mutex<Vec<Packet>>>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Capture {
    /// Records from now on.
    ///
    /// # Errors
    /// When this user may not do that.
    pub fn start(host: &Host) -> Result<Self> {
        let socket = host.run(open).context("cannot capture packets")?;
        let packets: Arc<Mutex<Vec<Packet>>> = Arc::default();
        let ends = Arc::new(AtomicBool::new(false));
        let thread = {
            let (packets, ends) = (Arc::clone(&packets), Arc::clone(&ends));
            thread::spawn(move || {
                let mut buffer = vec![0; MTU];
                while !ends.load(Ordering::Relaxed) {
                    let packet = receive(&socket, &mut buffer).and_then(parse);
                    packets.lock().extend(packet);
                }
            })
        };

        Ok(Self {
            packets,
            ends,
            thread: Some(thread),
        })
    }

    /// What has been recorded so far, in order.
    #[must_use]
    pub fn packets(&self) -> Vec<Packet> {
        self.packets.lock().clone()
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed.
            let _ = thread.join();
        }
    }
}

/// A socket that gets what all interfaces send and receive, without the link's own header.
fn open() -> io::Result<OwnedFd> {
    let everything = i32::from((libc::ETH_P_ALL as u16).to_be());
    // SAFETY: a system call without pointers.
    let socket = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_DGRAM, everything) };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }

    // SAFETY: it was just opened, and nothing else owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    let timeout = libc::timeval {
        tv_sec: 0,
        tv_usec: 50_000,
    };
    set(&socket, libc::SO_RCVTIMEO, &timeout)?;
    set(&socket, libc::SO_RCVBUFFORCE, &BUFFER)?;
    Ok(socket)
}

fn set<T>(socket: &OwnedFd, option: libc::c_int, value: &T) -> io::Result<()> {
    let size = size_of::<T>() as libc::socklen_t;
    // SAFETY: the pointer and the size are those of `value`, which lives longer than the call.
    let failed = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            std::ptr::from_ref(value).cast(),
            size,
        )
    };
    if failed == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// The next packet; `None` if there is none for a while.
fn receive<'a>(socket: &OwnedFd, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    // SAFETY: the pointer and the length are those of `buffer`.
    let length = unsafe {
        libc::recv(
            socket.as_raw_fd(),
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            0,
        )
    };
    buffer.get(..usize::try_from(length).ok()?)
}

/// The IP packet in these bytes; `None` for another protocol (ARP).
fn parse(bytes: &[u8]) -> Option<Packet> {
    let (source, destination, protocol, rest) = match bytes.first()? >> 4 {
        4 => {
            let header = usize::from(bytes[0] & 0xf) * 4;
            let length = usize::from(number(bytes, 2)?);
            let ip = |at: usize| -> Option<IpAddr> {
                let octets: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
                Some(Ipv4Addr::from(octets).into())
            };
            (ip(12)?, ip(16)?, bytes[9], bytes.get(header..length)?)
        }
        6 => {
            let ip = |at: usize| -> Option<IpAddr> {
                let octets: [u8; 16] = bytes.get(at..at + 16)?.try_into().ok()?;
                Some(Ipv6Addr::from(octets).into())
            };
            (ip(8)?, ip(24)?, bytes[6], bytes.get(40..)?)
        }
        _ => return None,
    };

    let (transport, header) = match protocol {
        UDP => (Transport::Udp, 8),
        TCP => (Transport::Tcp, usize::from(rest.get(12)? >> 4) * 4),
        _ => (Transport::Other, 0),
    };
    let port = |at| match transport {
        Transport::Udp | Transport::Tcp => number(rest, at),
        Transport::Other => Some(0),
    };
    Some(Packet {
        source: SocketAddr::new(source, port(0)?),
        destination: SocketAddr::new(destination, port(2)?),
        transport,
        payload: rest.get(header..)?.to_vec(),
    })
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}
