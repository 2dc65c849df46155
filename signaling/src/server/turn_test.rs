//! Tests the TURN server in this program, at its start and for `/turn-test`: two clients on this machine
//! talk to each other through it. What is wrong is said in sentences.
#![expect(
    clippy::disallowed_methods,
    reason = "a shell: it repeats the test after some time"
)]

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tandem_turn::client::RequestError;
use tandem_turn::{PeerRules, RelayAddresses, Runner, TestLink, self_test};
use tokio::sync::Mutex;

use super::http::Answer;

/// A result is told again for this long: whoever asks often costs nothing.
const VALID: Duration = Duration::from_secs(10);

/// What is tested.
pub(super) struct TurnTest {
    listening: Vec<SocketAddr>,
    relay: RelayAddresses,
    secret: String,
    /// What clients get.
    urls: Vec<String>,
    clock: fn() -> SystemTime,
    latest: Mutex<Option<(Instant, TestReport)>>,
}

impl fmt::Debug for TurnTest {
    /// Without the secret: it must not reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TurnTest")
            .field("urls", &self.urls)
            .finish_non_exhaustive()
    }
}

/// What a test has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct TestReport {
    /// Faults, each a sentence.
    faults: Vec<String>,
    /// What may be meant like this.
    notes: Vec<String>,
}

impl TurnTest {
    pub(super) fn new(
        runner: &Runner,
        secret: String,
        urls: Vec<String>,
        clock: fn() -> SystemTime,
    ) -> Self {
        Self {
            listening: runner.addresses().to_vec(),
            relay: runner.relay_addresses(),
            secret,
            urls,
            clock,
            latest: Mutex::default(),
        }
    }

    /// Tests it, and writes into the log what is wrong.
    pub(super) async fn log(&self) {
        let report = self.report().await;
        if report.faults.is_empty() {
            tracing::info!("TURN server: two test clients reached each other over UDP and TCP");
        }

        for fault in &report.faults {
            tracing::error!(
                fault,
                "TURN server fails its own test: calls may not connect"
            );
        }

        for note in &report.notes {
            tracing::warn!("TURN server: {note}");
        }
    }

    /// The answer to a request for `/turn-test`.
    pub(super) async fn answer(&self) -> Answer {
        let report = self.report().await;
        let status = if report.faults.is_empty() { 200 } else { 503 };
        Answer::text(status, report.text(&self.urls))
    }

    /// A new report, or the last one if that is not old. One test runs at a time.
    async fn report(&self) -> TestReport {
        let mut latest = self.latest.lock().await;
        if let Some((at, report)) = &*latest
            && at.elapsed() < VALID
        {
            return report.clone();
        }

        let report = TestReport {
            faults: self.faults().await,
            notes: notes(self.relay, &self.urls),
        };
        *latest = Some((Instant::now(), report.clone()));
        report
    }

    async fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for address in self.listening.iter().copied() {
            for link in [TestLink::Udp, TestLink::Tcp] {
                let (secret, relay) = (self.secret.clone(), self.relay);
                let now = (self.clock)()
                    .duration_since(UNIX_EPOCH)
                    .unwrap_or_default();
                let tested = tokio::task::spawn_blocking(move || {
                    self_test(link, address, relay, &secret, now.as_secs())
                });

                // A panic has been printed by the panic hook.
                if let Ok(Err(error)) = tested.await {
                    faults.push(fault(link, address, &error));
                }
            }
        }

        faults
    }
}

impl TestReport {
    fn text(&self, urls: &[String]) -> String {
        let mut lines = vec![if self.faults.is_empty() {
            "Two test clients on this machine reached each other through the TURN server."
                .to_owned()
        } else {
            "The TURN server does not work.".to_owned()
        }];
        lines.extend(self.faults.iter().map(|fault| format!("Fault: {fault}.")));
        lines.extend(self.notes.iter().map(|note| format!("Note: {note}.")));
        lines.push(String::from(
            "Whether a firewall in between lets others in, only a test from elsewhere shows. Clients get:",
        ));
        lines.extend(urls.iter().map(|url| format!("  {url}")));

        lines.join("\n")
    }
}

/// What a failed test means for the operator.
fn fault(link: TestLink, address: SocketAddr, error: &RequestError) -> String {
    let transport = match link {
        TestLink::Udp => "UDP",
        TestLink::Tcp => "TCP",
    };
    let meaning = match error {
        RequestError::Io(_) => {
            "no answer from this machine itself: look for a firewall rule on it".to_owned()
        }
        RequestError::Refused(486) => {
            "all allocations are in use: raise turn-allocations or turn-allocations-per-address"
                .to_owned()
        }
        RequestError::Refused(508) => {
            "no relayed port could be opened: widen turn-ports, or raise the limit of open files"
                .to_owned()
        }
        RequestError::Refused(401) => {
            "credentials expire at once: has this machine's clock been set back?".to_owned()
        }
        other => other.to_string(),
    };

    format!("{transport} at {address}: {meaning}")
}

/// What may keep others from using a server that works.
fn notes(relay: RelayAddresses, urls: &[String]) -> Vec<String> {
    let public = PeerRules::default();
    let is_private = |ip: IpAddr| !public.permits(ip);
    let mut notes = Vec::new();
    if relay.v4.map(IpAddr::V4).is_some_and(is_private)
        || relay.v6.map(IpAddr::V6).is_some_and(is_private)
    {
        notes.push(String::from(
            "it has a private address, so only people in this network can use it; if others should, \
             set turn-external-ip",
        ));
    }

    if !urls.iter().any(|url| url.starts_with("turns:")) {
        notes.push(String::from(
            "there is no TURN over TLS, so a firewall that lets only HTTPS through keeps people from it: \
             set turn-tls-name, which needs tls-cert (a proxy that does TLS cannot pass TURN on)",
        ));
    }

    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_says_what_to_do() {
        let at = SocketAddr::from(([192, 0, 2, 1], 3478));
        for (error, expected) in [
            (
                RequestError::Io(std::io::ErrorKind::TimedOut.into()),
                "firewall",
            ),
            (RequestError::Refused(486), "turn-allocations"),
            (RequestError::Refused(508), "turn-ports"),
            (RequestError::Refused(401), "clock"),
            (RequestError::Refused(400), "400"),
        ] {
            let text = fault(TestLink::Tcp, at, &error);
            assert!(text.starts_with("TCP at 192.0.2.1:3478: "), "{text}");
            assert!(text.contains(expected), "{text}");
        }
    }

    #[test]
    fn a_public_server_with_tls_has_nothing_to_note() {
        let relay = |text: &str| RelayAddresses {
            v4: Some(text.parse().unwrap()),
            v6: None,
        };
        let tls = [String::from("turns:a:443?transport=tcp")];
        assert!(notes(relay("8.8.8.8"), &tls).is_empty());
        let all = notes(relay("10.0.0.1"), &[]);
        assert!(all[0].contains("turn-external-ip") && all[1].contains("turn-tls-name"));

        let text = TestReport {
            faults: vec!["x".into()],
            notes: all,
        };
        let text = text.text(&tls);
        assert!(text.starts_with("The TURN server does not work.\nFault: x.\nNote: "));
        assert!(text.ends_with("  turns:a:443?transport=tcp"), "{text}");
    }
}
