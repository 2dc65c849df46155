//! What the operator sees at `/metrics`: counters that cost one atomic addition each, in the text format of Prometheus.
//!
//! No label comes from a client: types, codes and reasons are the protocol's own, so the number of series is fixed.

use std::fmt::Write;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use crate::message::{ErrorCode, ServerMessage};

/// The relayed messages, in the order of [`Metrics::relayed`].
const RELAYED: [&str; 3] = ["webrtc_offer", "webrtc_answer", "ice_candidate"];
const RECEIVED: [&str; 13] = [
    "find_partner",
    "cancel_search",
    "webrtc_offer",
    "webrtc_answer",
    "ice_candidate",
    "end_session",
    "next",
    "report",
    "block",
    "get_ice_servers",
    "resume",
    "ping",
    "bye",
];
const CODES: [(ErrorCode, &str); 17] = [
    (ErrorCode::BadJson, "bad_json"),
    (ErrorCode::BadMessage, "bad_message"),
    (ErrorCode::UnknownType, "unknown_type"),
    (ErrorCode::MessageTooLarge, "message_too_large"),
    (ErrorCode::Unauthorized, "unauthorized"),
    (ErrorCode::NotMatched, "not_matched"),
    (ErrorCode::NotPartner, "not_partner"),
    (ErrorCode::PartnerGone, "partner_gone"),
    (ErrorCode::AlreadySearching, "already_searching"),
    (ErrorCode::AlreadyMatched, "already_matched"),
    (ErrorCode::NoSuchSession, "no_such_session"),
    (ErrorCode::RateLimited, "rate_limited"),
    (ErrorCode::QueueFull, "queue_full"),
    (ErrorCode::Banned, "banned"),
    (ErrorCode::Draining, "draining"),
    (ErrorCode::Unavailable, "unavailable"),
    (ErrorCode::Internal, "internal"),
];
/// How a connection can end, as WebSocket close codes; 1006 stands for all that ended without one of ours.
const CLOSES: [u16; 16] = [
    1000, 1001, 1002, 1003, 1006, 1007, 1008, 1009, 1011, 1013, 4001, 4002, 4003, 4004, 4005, 4999,
];
/// Answers instead of an upgrade.
const REFUSALS: [u16; 8] = [400, 403, 404, 405, 426, 429, 431, 503];

/// A count that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A level that goes up and down.
#[derive(Debug, Default)]
pub(crate) struct Gauge(AtomicI64);

impl Gauge {
    pub(crate) fn add(&self, n: i64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, n: i64) {
        self.0.store(n, Ordering::Relaxed);
    }

    fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How often something took how long.
#[derive(Debug)]
pub(crate) struct Histogram<const N: usize> {
    /// Upper bounds in seconds, ascending.
    bounds: [f64; N],
    counts: [Counter; N],
    above: Counter,
    sum_us: Counter,
}

impl<const N: usize> Histogram<N> {
    fn new(bounds: [f64; N]) -> Self {
        Self {
            bounds,
            counts: std::array::from_fn(|_| Counter::default()),
            above: Counter::default(),
            sum_us: Counter::default(),
        }
    }

    pub(crate) fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = self.bounds.iter().position(|bound| seconds <= *bound);
        bucket
            .map_or(&self.above, |bucket| &self.counts[bucket])
            .add(1);
        self.sum_us
            .add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    fn write(&self, out: &mut String, name: &str, help: &str) {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} histogram");
        let mut below = 0;

        for (bound, count) in self.bounds.iter().zip(&self.counts) {
            below += count.get();
            let _ = writeln!(out, "{name}_bucket{{le=\"{bound}\"}} {below}");
        }

        let all = below + self.above.get();
        let sum = Duration::from_micros(self.sum_us.get()).as_secs_f64();
        let _ = writeln!(
            out,
            "{name}_bucket{{le=\"+Inf\"}} {all}\n{name}_sum {sum}\n{name}_count {all}"
        );
    }
}

/// All figures of one relay.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) connections: Gauge,
    pub(crate) accepted: Counter,
    /// Upgraded connections, the ones turned away after it included.
    pub(crate) upgrades: Counter,
    refused: [Counter; REFUSALS.len()],
    received: [Counter; RECEIVED.len()],
    relayed: [Counter; RELAYED.len()],
    relayed_bytes: [Counter; RELAYED.len()],
    errors: [Counter; CODES.len()],
    closed: [Counter; CLOSES.len()],
    /// Clients whose queue was full.
    pub(crate) queue_overflow: Counter,
    /// Floods that were left unread for a while.
    pub(crate) paused: Counter,
    /// From `searching` to `partner_found`, as the client sees it.
    pub(crate) match_wait: Histogram<10>,
    /// Round trips to Redis; nothing without a cluster.
    pub(crate) redis_latency: Histogram<9>,
    /// Commands that Redis did not answer, or answered with an error.
    pub(crate) redis_errors: Counter,
    /// Relays of the cluster that live, this one included; 1 without a cluster.
    pub(crate) nodes: Gauge,
}

/// What only the hub knows, at the moment of asking.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Levels {
    pub(crate) searching: usize,
    pub(crate) sessions: usize,
    pub(crate) draining: bool,
}

impl Default for Metrics {
    fn default() -> Self {
        fn counters<const N: usize>() -> [Counter; N] {
            std::array::from_fn(|_| Counter::default())
        }

        let nodes = Gauge::default();
        nodes.set(1);
        Self {
            connections: Gauge::default(),
            accepted: Counter::default(),
            upgrades: Counter::default(),
            refused: counters(),
            received: counters(),
            relayed: counters(),
            relayed_bytes: counters(),
            errors: counters(),
            closed: counters(),
            queue_overflow: Counter::default(),
            paused: Counter::default(),
            match_wait: Histogram::new([0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0]),
            redis_latency: Histogram::new([
                0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.01, 0.05, 0.25, 1.0,
            ]),
            redis_errors: Counter::default(),
            nodes,
        }
    }
}

impl Metrics {
    /// A client's message of this type has been read.
    pub(crate) fn received(&self, kind: &str) {
        if let Some(at) = RECEIVED.iter().position(|name| *name == kind) {
            self.received[at].add(1);
        }
    }

    /// A message goes to a client, as so many bytes of text.
    pub(crate) fn sent(&self, message: &ServerMessage, bytes: usize) {
        let relayed = match message {
            ServerMessage::WebrtcOffer(_) => 0,
            ServerMessage::WebrtcAnswer(_) => 1,
            ServerMessage::IceCandidate(_) => 2,
            ServerMessage::Error(report) => {
                if let Some(at) = CODES.iter().position(|(code, _)| *code == report.code) {
                    self.errors[at].add(1);
                }

                return;
            }
            _ => return,
        };

        self.relayed[relayed].add(1);
        self.relayed_bytes[relayed].add(bytes as u64);
    }

    /// A connection ended; `None`: without a close code of ours.
    pub(crate) fn closed(&self, code: Option<u16>) {
        let code = code.unwrap_or(1006);
        let at = CLOSES
            .iter()
            .position(|known| *known == code)
            .unwrap_or(CLOSES.len() - 1);
        self.closed[at].add(1);
    }

    /// A request was answered without an upgrade.
    pub(crate) fn refused(&self, status: u16) {
        if let Some(at) = REFUSALS.iter().position(|known| *known == status) {
            self.refused[at].add(1);
        }
    }

    /// The text format, version 0.0.4.
    pub(crate) fn text(&self, levels: Levels) -> String {
        let mut out = String::with_capacity(8 * 1024);
        let mut one = |name: &str, kind: &str, help: &str, value: &dyn std::fmt::Display| {
            let _ = writeln!(
                out,
                "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}"
            );
        };

        one(
            "tandem_connections",
            "gauge",
            "Clients that are connected.",
            &self.connections.get(),
        );

        one(
            "tandem_searching",
            "gauge",
            "Clients of this relay that wait for a partner.",
            &levels.searching,
        );

        one(
            "tandem_sessions",
            "gauge",
            "Calls with a side on this relay.",
            &levels.sessions,
        );

        one(
            "tandem_draining",
            "gauge",
            "1 while the relay shuts down.",
            &u8::from(levels.draining),
        );

        one(
            "tandem_nodes",
            "gauge",
            "Relays of the cluster that live.",
            &self.nodes.get(),
        );

        one(
            "tandem_accepted_total",
            "counter",
            "TCP connections taken.",
            &self.accepted.get(),
        );

        one(
            "tandem_upgrades_total",
            "counter",
            "WebSockets opened.",
            &self.upgrades.get(),
        );

        one(
            "tandem_queue_overflow_total",
            "counter",
            "Clients closed because they did not read.",
            &self.queue_overflow.get(),
        );

        one(
            "tandem_paused_total",
            "counter",
            "Times a flood was left unread for a while.",
            &self.paused.get(),
        );

        one(
            "tandem_redis_errors_total",
            "counter",
            "Commands that Redis failed.",
            &self.redis_errors.get(),
        );

        let mut many = |name: &str,
                        help: &str,
                        label: &str,
                        values: &mut dyn Iterator<Item = (String, u64)>| {
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} counter");
            for (value, count) in values {
                let _ = writeln!(out, "{name}{{{label}=\"{value}\"}} {count}");
            }
        };

        fn named<'a>(
            names: impl Iterator<Item = String> + 'a,
            counters: &'a [Counter],
        ) -> impl Iterator<Item = (String, u64)> + 'a {
            names.zip(counters.iter().map(Counter::get))
        }

        let texts = |names: &'static [&'static str]| names.iter().map(|name| (*name).to_owned());
        let numbers = |names: &'static [u16]| names.iter().map(u16::to_string);
        many(
            "tandem_received_messages_total",
            "Messages of clients.",
            "type",
            &mut named(texts(&RECEIVED), &self.received),
        );

        many(
            "tandem_relayed_messages_total",
            "Messages passed to a partner.",
            "type",
            &mut named(texts(&RELAYED), &self.relayed),
        );

        many(
            "tandem_relayed_bytes_total",
            "Their bytes.",
            "type",
            &mut named(texts(&RELAYED), &self.relayed_bytes),
        );
        let codes = CODES.iter().map(|(_, name)| (*name).to_owned());
        many(
            "tandem_errors_total",
            "Errors told to clients.",
            "code",
            &mut named(codes, &self.errors),
        );

        many(
            "tandem_closed_total",
            "Connections ended.",
            "code",
            &mut named(numbers(&CLOSES), &self.closed),
        );

        many(
            "tandem_refused_total",
            "Requests refused before the upgrade.",
            "status",
            &mut named(numbers(&REFUSALS), &self.refused),
        );

        self.match_wait.write(
            &mut out,
            "tandem_match_wait_seconds",
            "From searching to partner_found.",
        );

        self.redis_latency.write(
            &mut out,
            "tandem_redis_latency_seconds",
            "Round trips to Redis.",
        );
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::ErrorReport;

    #[test]
    fn every_code_and_type_is_counted_under_its_own_name() {
        for (code, name) in CODES {
            assert_eq!(
                serde_json::to_value(code).unwrap(),
                name,
                "the label is the code on the wire"
            );
        }

        let metrics = Metrics::default();
        let report = ErrorReport {
            code: ErrorCode::RateLimited,
            message: String::new(),
            retry_after_ms: None,
        };

        metrics.sent(&ServerMessage::Error(report), 10);
        metrics.received("ping");
        metrics.received("no such type");
        metrics.closed(None);
        metrics.closed(Some(4004));
        metrics.refused(429);
        let text = metrics.text(Levels {
            searching: 3,
            sessions: 2,
            draining: false,
        });

        for line in [
            "tandem_errors_total{code=\"rate_limited\"} 1",
            "tandem_received_messages_total{type=\"ping\"} 1",
            "tandem_closed_total{code=\"1006\"} 1",
            "tandem_closed_total{code=\"4004\"} 1",
            "tandem_refused_total{status=\"429\"} 1",
            "tandem_searching 3",
            "tandem_sessions 2",
            "tandem_nodes 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }

    #[test]
    fn the_text_keeps_to_the_format() {
        let metrics = Metrics::default();
        metrics.match_wait.observe(Duration::from_millis(30));
        metrics.match_wait.observe(Duration::from_secs(400));
        let text = metrics.text(Levels::default());

        assert!(text.ends_with('\n'), "the last line ends, too");
        let mut announced = "";

        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                announced = rest.split(' ').next().unwrap();
            } else if !line.starts_with('#') {
                let (series, value) = line.rsplit_once(' ').expect("a name and a value");
                assert!(
                    series.starts_with(announced),
                    "{line} belongs to {announced}"
                );
                assert!(value.parse::<f64>().is_ok(), "a number: {line}");
            }
        }

        assert!(
            text.contains("tandem_match_wait_seconds_bucket{le=\"0.1\"} 1"),
            "buckets add up: {text}"
        );
        assert!(text.contains("tandem_match_wait_seconds_bucket{le=\"+Inf\"} 2"));
        assert!(text.contains("tandem_match_wait_seconds_sum 400.03"));
    }
}
