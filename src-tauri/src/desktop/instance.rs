//! One window per settings folder: a second copy of the app brings the first one to the front and
//! ends.
//!
//! The first instance locks a file, listens on loopback, and writes its port and a secret into a
//! file beside the lock. That works the same on every system and needs no message bus, and two
//! folders count as two users, which tests need. (The usual Tauri plug-in identifies instances by
//! the app's name, and does nothing where there is no D-Bus.)

#![expect(
    clippy::disallowed_methods,
    reason = "a shell: waits for the first instance up to a deadline"
)]

use std::fs::{self, File, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::files;

/// How long each end waits for the other to connect, read or write.
const IO_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a second instance waits for a first one that has just started.
const START_TIMEOUT: Duration = Duration::from_secs(3);
/// How long it waits for a first one that is closing: longer than that may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause between two attempts to reach the first instance, and after a failed `accept`.
const RETRY_INTERVAL: Duration = Duration::from_millis(50);
/// The longest line that is read, in bytes: a text of [`MAX_TEXT_BYTES`] with its line break.
const MAX_LINE: u64 = MAX_TEXT_BYTES as u64 + 2;
/// The longest text that a second instance can hand over, in bytes: any link fits.
const MAX_TEXT_BYTES: usize = 8_000;
/// What the first instance answers when it has been notified.
const ANSWER: &str = "tandem";
/// What it answers while it closes: the second instance is about to be the first.
const CLOSING: &str = "closing";

/// Whether this process is the first instance.
#[derive(Debug)]
pub enum Claim {
    /// It is. [`FirstInstance::listen`] notifies it of later ones.
    First(FirstInstance),
    /// Another one runs, and has been notified.
    Second,
}

/// The first instance: holds the lock and listens for others. Dropping it lets another process be
/// the first.
#[derive(Debug)]
pub struct FirstInstance {
    /// Locked while it is open.
    _lock: File,
    listener: TcpListener,
    secret: String,
}

/// How a first instance took the news of a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// It comes to the front.
    Notified,
    /// It is closing.
    Closing,
}

/// Claims `folder` for this process; if another one has it, notifies that, and hands it `text`: the
/// link that was opened. If the other one is closing, waits until it has.
///
/// # Errors
/// When the folder cannot be used, or the first instance does not answer or does not end. Then it is
/// not known whether there is one.
pub fn claim(folder: &Path, text: Option<&str>) -> io::Result<Claim> {
    fs::create_dir_all(folder)?;
    let contact = folder.join("instance");
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(folder.join("instance.lock"))?;

    let deadline = Instant::now() + CLOSE_TIMEOUT;
    loop {
        match lock.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }

        match notify_first(&contact, text) {
            Ok(Answer::Notified) => return Ok(Claim::Second),
            Ok(Answer::Closing) if Instant::now() >= deadline => {
                return Err(io::ErrorKind::TimedOut.into());
            }
            Ok(Answer::Closing) => thread::sleep(RETRY_INTERVAL),
            // It may have ended in this moment.
            Err(error) => match lock.try_lock() {
                Ok(()) => break,
                Err(_) => return Err(error),
            },
        }
    }

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let secret = format!("{:032x}", rand::random::<u128>());
    let contents = format!("{} {secret}\n", listener.local_addr()?.port());
    files::write_private(&contact, contents.as_bytes())?;

    Ok(Claim::First(FirstInstance {
        _lock: lock,
        listener,
        secret,
    }))
}

impl FirstInstance {
    /// Calls `on_second` for each further instance with the text that it hands over, on a thread of
    /// its own, until the process ends. It returns whether this instance stays: false once it is
    /// closing.
    ///
    /// # Errors
    /// When the system cannot start a thread.
    pub fn listen(
        self,
        on_second: impl Fn(Option<String>) -> bool + Send + 'static,
    ) -> io::Result<()> {
        let accept_all = move || {
            loop {
                match self.listener.accept() {
                    Ok((socket, _)) => {
                        // A client that breaks off has no answer to wait for.
                        let _ = self.answer(&socket, &on_second);
                    }
                    Err(_) => thread::sleep(RETRY_INTERVAL),
                }
            }
        };

        thread::Builder::new()
            .name("second-instance".into())
            .spawn(accept_all)
            .map(drop)
    }

    /// Answers a client that knows the secret.
    fn answer(
        &self,
        mut socket: &TcpStream,
        on_second: impl Fn(Option<String>) -> bool,
    ) -> io::Result<()> {
        socket.set_read_timeout(Some(IO_TIMEOUT))?;
        socket.set_write_timeout(Some(IO_TIMEOUT))?;

        let mut lines = BufReader::new(socket.take(2 * MAX_LINE));
        if read_line(&mut lines)? == self.secret {
            // One that is older sends nothing more.
            let text = read_line(&mut lines).unwrap_or_default();
            let text = Some(text).filter(|text| !text.is_empty());
            let answer = if on_second(text) { ANSWER } else { CLOSING };
            writeln!(socket, "{answer}")?;
        }

        Ok(())
    }
}

/// Notifies the first instance, whose port and secret are in the file `contact`.
fn notify_first(contact: &Path, text: Option<&str>) -> io::Result<Answer> {
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        match try_notify(contact, text) {
            Ok(answer) => return Ok(answer),
            // It holds the lock but may not have written the file yet.
            Err(error) if Instant::now() >= deadline => return Err(error),
            Err(_) => thread::sleep(RETRY_INTERVAL),
        }
    }
}

fn try_notify(contact: &Path, text: Option<&str>) -> io::Result<Answer> {
    let bad = || {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "the first instance left no readable port and secret",
        )
    };

    let known = fs::read_to_string(contact)?;
    let (port, secret) = known.trim().split_once(' ').ok_or_else(bad)?;
    let address = (Ipv4Addr::LOCALHOST, port.parse().map_err(|_| bad())?).into();

    let socket = TcpStream::connect_timeout(&address, IO_TIMEOUT)?;
    socket.set_read_timeout(Some(IO_TIMEOUT))?;
    socket.set_write_timeout(Some(IO_TIMEOUT))?;
    let text = text.map(one_line).unwrap_or_default();
    writeln!(&socket, "{secret}\n{text}")?;

    match read_line(&mut BufReader::new(socket.take(MAX_LINE)))?.as_str() {
        ANSWER => Ok(Answer::Notified),
        CLOSING => Ok(Answer::Closing),
        _ => Err(bad()),
    }
}

/// The text as one line of at most [`MAX_TEXT_BYTES`]. What is cut off or replaced makes it no
/// invite, so the user learns of it.
fn one_line(text: &str) -> String {
    let mut line = text.replace(char::is_control, "\u{FFFD}");
    line.truncate(line.floor_char_boundary(MAX_TEXT_BYTES));
    line
}

fn read_line(lines: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    lines.take(MAX_LINE).read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(10);

    fn first(folder: &Path) -> FirstInstance {
        match claim(folder, None).unwrap() {
            Claim::First(first) => first,
            Claim::Second => panic!("no other instance runs"),
        }
    }

    #[test]
    fn a_second_instance_notifies_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let (sender, notified) = channel();
        first(folder.path())
            .listen(move |text| sender.send(text).is_ok())
            .unwrap();

        let link = "tandem://join/chat.example.org/7#garden-lantern";
        for text in [None, Some(link)] {
            assert!(
                matches!(claim(folder.path(), text).unwrap(), Claim::Second),
                "the first holds the lock"
            );

            let received = notified.recv_timeout(TIMEOUT);
            assert_eq!(
                received,
                Ok(text.map(str::to_owned)),
                "the first is notified"
            );
        }
    }

    #[test]
    fn an_instance_that_starts_while_the_first_closes_becomes_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let closing = first(folder.path());
        let lock = closing._lock.try_clone().unwrap();
        let (sender, asked) = channel();
        closing
            .listen(move |_| {
                sender.send(()).unwrap();
                false
            })
            .unwrap();

        let second = thread::spawn({
            let folder = folder.path().to_owned();
            move || matches!(claim(&folder, None), Ok(Claim::First(_)))
        });

        // It asks again and again, until the first one has ended.
        for _ in 0..3 {
            asked.recv_timeout(TIMEOUT).expect("the second one asks");
        }
        lock.unlock().unwrap();
        assert!(second.join().unwrap(), "the second is the first now");
    }

    #[test]
    fn a_text_is_handed_over_as_one_line_of_bounded_length() {
        let folder = tempfile::tempdir().unwrap();
        let (sender, notified) = channel();
        first(folder.path())
            .listen(move |text| sender.send(text).is_ok())
            .unwrap();

        let long = "ä".repeat(MAX_TEXT_BYTES);
        for (text, received) in [
            ("a\nb\r\u{0}c", "a\u{FFFD}b\u{FFFD}\u{FFFD}c"),
            ("", ""),
            (&long, &long[..MAX_TEXT_BYTES]),
        ] {
            assert!(matches!(
                claim(folder.path(), Some(text)).unwrap(),
                Claim::Second
            ));
            let expected = Some(received.to_owned()).filter(|text| !text.is_empty());
            assert_eq!(notified.recv_timeout(TIMEOUT), Ok(expected));
        }
    }

    #[test]
    fn each_folder_has_its_own_first_instance() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let _first = first(one.path());
        let _also_first = first(other.path());
    }

    #[test]
    fn the_next_instance_after_the_first_has_ended_is_the_first() {
        let folder = tempfile::tempdir().unwrap();
        drop(first(folder.path()));
        let _again = first(folder.path());
    }

    #[test]
    fn a_client_without_the_secret_does_not_notify_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let first = first(folder.path());
        let address = first.listener.local_addr().unwrap();
        let (sender, notified) = channel();
        first.listen(move |_| sender.send(()).is_ok()).unwrap();

        for text in ["\n", "wrong\n", &"x".repeat(10_000), ""] {
            let mut socket = TcpStream::connect(address).unwrap();
            let _ = socket.write_all(text.as_bytes());
        }

        assert!(
            matches!(claim(folder.path(), None).unwrap(), Claim::Second),
            "a real second instance gets through behind them"
        );

        notified
            .recv_timeout(TIMEOUT)
            .expect("the real one notifies the first");
        assert!(notified.try_recv().is_err(), "the others did not");
    }
}
