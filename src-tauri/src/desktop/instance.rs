//! One window for one folder of settings: a second copy of the app brings the first to the front and ends.
//!
//! The first holds a lock on a file, listens on loopback and leaves its port and a secret beside the lock. That is the
//! same on every system, asks for no message bus, and two folders are two users: what the tests need. (The well-known
//! plug-in takes the app's name for identity, and does nothing where there is no D-Bus.)

use std::fs::{self, File, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// How long either side waits for the other.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long the second waits for a first that has just begun.
const START_PATIENCE: Duration = Duration::from_secs(3);
/// The longest line that is read: a secret and its end.
const MAX_LINE: u64 = 64;
const ANSWER: &str = "tandem";

/// Who this process is.
#[derive(Debug)]
pub enum Claim {
    /// The only one. Whoever comes later is heard by [`First::listen`].
    First(First),
    /// There was one already, and it has been told.
    Second,
}

/// The lock and the ear of the first. Dropping it makes room for another first.
#[derive(Debug)]
pub struct First {
    /// Held, not used.
    _lock: File,
    listener: TcpListener,
    secret: String,
}

/// Finds out whether this process is the first for `folder`; if not, tells the one that is.
///
/// # Errors
/// When the folder cannot be used, or the first does not answer: then nothing is known.
pub fn claim(folder: &Path) -> io::Result<Claim> {
    fs::create_dir_all(folder)?;
    let note = folder.join("instance");
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(folder.join("instance.lock"))?;

    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return call_first(&note).map(|()| Claim::Second),
        Err(TryLockError::Error(error)) => return Err(error),
    }

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let secret = format!("{:032x}", rand::random::<u128>());
    write_private(
        &note,
        &format!("{} {secret}\n", listener.local_addr()?.port()),
    )?;

    Ok(Claim::First(First {
        _lock: lock,
        listener,
        secret,
    }))
}

impl First {
    /// Calls `on_second` whenever another copy is started, on a thread of its own, until the process ends.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn listen(self, on_second: impl Fn() + Send + 'static) -> io::Result<()> {
        let hear = move || {
            loop {
                match self.listener.accept() {
                    Ok((socket, _)) => {
                        if self.is_second(&socket).unwrap_or(false) {
                            on_second();
                        }
                    }
                    Err(_) => thread::sleep(Duration::from_millis(50)),
                }
            }
        };

        thread::Builder::new()
            .name("second-copy".into())
            .spawn(hear)
            .map(drop)
    }

    /// Whether this is a copy of ours, with the secret; it is answered then.
    fn is_second(&self, socket: &TcpStream) -> io::Result<bool> {
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let is_ours = line(socket)? == self.secret;

        if is_ours {
            writeln!(&*socket, "{ANSWER}")?;
        }

        Ok(is_ours)
    }
}

/// Tells the first that we are here.
fn call_first(note: &Path) -> io::Result<()> {
    let deadline = Instant::now() + START_PATIENCE;
    loop {
        match try_call(note) {
            Ok(()) => return Ok(()),
            // It has the lock and may be about to leave its note.
            Err(error) if Instant::now() >= deadline => return Err(error),
            Err(_) => thread::sleep(Duration::from_millis(50)),
        }
    }
}

fn try_call(note: &Path) -> io::Result<()> {
    let bad = || {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "the first copy left no readable note",
        )
    };

    let text = fs::read_to_string(note)?;
    let (port, secret) = text.trim().split_once(' ').ok_or_else(bad)?;
    let address = (Ipv4Addr::LOCALHOST, port.parse().map_err(|_| bad())?).into();
    let socket = TcpStream::connect_timeout(&address, PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    writeln!(&socket, "{secret}")?;

    if line(&socket)? == ANSWER {
        Ok(())
    } else {
        Err(bad())
    }
}

fn line(socket: &TcpStream) -> io::Result<String> {
    let mut line = String::new();
    BufReader::new(socket.take(MAX_LINE)).read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

/// Writes a file that only this user can read, whole or not at all.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut options = File::options();
    options.create(true).truncate(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(&new)?.write_all(text.as_bytes())?;

    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    fn first(folder: &Path) -> First {
        match claim(folder).unwrap() {
            Claim::First(first) => first,
            Claim::Second => panic!("nobody was here before"),
        }
    }

    #[test]
    fn the_second_is_heard_by_the_first_and_knows_it() {
        let folder = tempfile::tempdir().unwrap();
        let (sender, heard) = channel();
        first(folder.path())
            .listen(move || sender.send(()).unwrap())
            .unwrap();

        for _ in 0..2 {
            assert!(
                matches!(claim(folder.path()).unwrap(), Claim::Second),
                "the lock is held"
            );

            heard
                .recv_timeout(Duration::from_secs(10))
                .expect("the first hears of it");
        }
    }

    #[test]
    fn another_folder_is_another_user() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let _first = first(one.path());
        let _also_first = first(other.path());
    }

    #[test]
    fn whoever_comes_after_the_first_has_gone_is_the_first() {
        let folder = tempfile::tempdir().unwrap();
        drop(first(folder.path()));
        let _again = first(folder.path());
    }

    #[test]
    fn strangers_on_the_port_bring_nothing_to_the_front() {
        let folder = tempfile::tempdir().unwrap();
        let first = first(folder.path());
        let address = first.listener.local_addr().unwrap();
        let (sender, heard) = channel();
        first.listen(move || sender.send(()).unwrap()).unwrap();

        for text in ["\n", "wrong\n", &"x".repeat(10_000), ""] {
            let mut socket = TcpStream::connect(address).unwrap();
            let _ = socket.write_all(text.as_bytes());
        }

        assert!(
            matches!(claim(folder.path()).unwrap(), Claim::Second),
            "a real one comes through behind them"
        );

        heard
            .recv_timeout(Duration::from_secs(10))
            .expect("and is heard");
        assert!(heard.try_recv().is_err(), "the others were not");
    }
}
