//! Asks rtkit for a priority that the system does not grant an unprivileged user.
//!
//! rtkit (`org.freedesktop.RealtimeKit1` on the system bus) raises threads for desktop programs,
//! and PipeWire and PulseAudio use it for theirs. `MakeThreadHighPriority` sets a nice value.
//! `MakeThreadRealtime` would set `SCHED_RR`, but only for a process with `RLIMIT_RTTIME`, which
//! the kernel kills if a thread computes too long without a pause. An audio thread that may take 10
//! ms of CPU time at once is safer with a nice value.

use std::time::Duration;

use zbus::connection::Builder;

/// Longest wait for an answer. The bus may have to start rtkit first.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Requests `nice` for the calling thread over `bus`, from a helper thread. Returns at once. The
/// outcome is only logged, because the audio also works at normal priority.
pub(super) fn raise_calling_thread(bus: Builder<'static>, nice: i32) {
    // SAFETY: `gettid` takes no arguments and cannot fail.
    let thread = unsafe { libc::gettid() };
    let request = move || match make_thread_high_priority(bus, thread as u64, nice) {
        Ok(()) => tracing::debug!(thread, nice, "rtkit raised the priority of an audio thread"),
        Err(error) => {
            tracing::debug!(
                thread, nice, %error,
                "no higher priority from rtkit: audio may stutter on a busy machine"
            );
        }
    };

    let helper = std::thread::Builder::new()
        .name("rtkit".into())
        .spawn(request);
    if let Err(error) = helper {
        tracing::debug!(%error, "could not start the thread that asks rtkit for a priority");
    }
}

/// Calls rtkit's `MakeThreadHighPriority(t thread, i priority)` for a thread of this process, by
/// its kernel id. rtkit allows nice values down to −15 by default.
///
/// # Errors
/// There is no bus or no rtkit on it, rtkit refuses, or it does not answer in time.
fn make_thread_high_priority(bus: Builder<'_>, thread: u64, nice: i32) -> zbus::Result<()> {
    zbus::block_on(async {
        let connection = bus.method_timeout(TIMEOUT).build().await?;
        connection
            .call_method(
                Some("org.freedesktop.RealtimeKit1"),
                "/org/freedesktop/RealtimeKit1",
                Some("org.freedesktop.RealtimeKit1"),
                "MakeThreadHighPriority",
                &(thread, nice),
            )
            .await?;

        connection.close().await
    })
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Child, Command, Stdio};

    use futures_util::StreamExt;
    use tandem_tests::{Part, require};
    use zbus::message::Type;
    use zbus::{Connection, Message, MessageStream};

    use super::*;

    /// A message bus of our own, which ends when it is dropped.
    struct PrivateBus {
        daemon: Child,
        address: String,
    }

    impl PrivateBus {
        fn start() -> Self {
            let mut daemon = Command::new("dbus-daemon")
                .args(["--session", "--nofork", "--nopidfile", "--print-address=1"])
                .arg(format!(
                    "--address=unix:tmpdir={}",
                    std::env::temp_dir().display()
                ))
                .stdout(Stdio::piped())
                .spawn()
                .expect("dbus-daemon starts");

            let mut address = String::new();
            BufReader::new(daemon.stdout.take().expect("standard output is piped"))
                .read_line(&mut address)
                .expect("dbus-daemon prints its address");

            Self {
                daemon,
                address: address.trim().to_owned(),
            }
        }

        fn connect(&self) -> Builder<'static> {
            Builder::address(self.address.as_str())
        }
    }

    impl Drop for PrivateBus {
        fn drop(&mut self) {
            let _ = self.daemon.kill();
            let _ = self.daemon.wait();
        }
    }

    /// Takes rtkit's name on `bus`.
    async fn fake_rtkit(bus: &PrivateBus) -> (Connection, MessageStream) {
        let service = bus.connect().build().await.expect("the bus accepts us");
        let messages = MessageStream::from(&service);
        service
            .request_name("org.freedesktop.RealtimeKit1")
            .await
            .expect("the name is free");

        (service, messages)
    }

    /// The next method call.
    async fn next_call(messages: &mut MessageStream) -> Message {
        loop {
            let message = messages
                .next()
                .await
                .expect("the bus keeps running")
                .expect("a valid message");
            if message.message_type() == Type::MethodCall {
                return message;
            }
        }
    }

    #[test]
    fn rtkit_receives_the_thread_and_the_nice_value() {
        require!(Part::MessageBus);
        let bus = PrivateBus::start();

        let call = zbus::block_on(async {
            let (service, mut messages) = fake_rtkit(&bus).await;
            raise_calling_thread(bus.connect(), -11);
            let call = next_call(&mut messages).await;
            service
                .reply(&call.header(), &())
                .await
                .expect("the reply is sent");

            call
        });

        let header = call.header();
        assert_eq!(
            header.path().map(zbus::ObjectPath::as_str),
            Some("/org/freedesktop/RealtimeKit1")
        );
        assert_eq!(
            header.interface().map(zbus::names::InterfaceName::as_str),
            Some("org.freedesktop.RealtimeKit1")
        );
        assert_eq!(
            header.member().map(zbus::names::MemberName::as_str),
            Some("MakeThreadHighPriority")
        );

        // SAFETY: `gettid` takes no arguments and cannot fail.
        let this_thread = unsafe { libc::gettid() } as u64;
        let arguments: (u64, i32) = call.body().deserialize().expect("a thread and a priority");
        assert_eq!(
            arguments,
            (this_thread, -11),
            "rtkit is asked for the calling thread, not for the helper"
        );
    }

    #[test]
    fn the_answer_of_rtkit_is_the_result() {
        require!(Part::MessageBus);

        for refused in [false, true] {
            let bus = PrivateBus::start();
            let (_service, request) = zbus::block_on(async {
                let (service, mut messages) = fake_rtkit(&bus).await;
                let connect = bus.connect();
                let request =
                    std::thread::spawn(move || make_thread_high_priority(connect, 1, -11));
                let call = next_call(&mut messages).await;
                let header = call.header();

                let reply = if refused {
                    let error = "org.freedesktop.DBus.Error.AccessDenied";
                    service.reply_error(&header, error, &"not now").await
                } else {
                    service.reply(&header, &()).await
                };
                reply.expect("the reply is sent");

                (service, request)
            });

            let result = request.join().expect("the request does not panic");
            assert_eq!(result.is_err(), refused, "refused: {refused}, {result:?}");
        }
    }

    #[test]
    fn a_missing_bus_is_an_error() {
        let missing_bus = Builder::address("unix:path=/no/such/bus");
        assert!(
            make_thread_high_priority(missing_bus, 1, -11).is_err(),
            "there is no bus"
        );
    }

    #[test]
    fn a_missing_rtkit_is_an_error() {
        require!(Part::MessageBus);
        let bus = PrivateBus::start();

        assert!(
            make_thread_high_priority(bus.connect(), 1, -11).is_err(),
            "no service has rtkit's name"
        );
    }
}
