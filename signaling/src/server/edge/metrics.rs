//! What the operator sees at `/metrics`.
//!
//! The series are fixed: no label comes from a client. Every counter is created at the start and
//! kept in an array, so counting a message is one atomic addition, without looking up a label.

use std::time::Duration;

use prometheus_client::encoding::prometheus_text::{self, encode};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tandem_turn::Stats;

use super::turn_metrics::TurnMetrics;
use crate::message::{ErrorCode, ServerMessage};

/// The types of relayed messages, in the order of [`Metrics::relayed`].
const RELAYED: [&str; 3] = ["webrtc_offer", "webrtc_answer", "ice_candidate"];
/// The types of messages that clients send.
const RECEIVED: [&str; 18] = [
    "find_partner",
    "claim_room",
    "release_room",
    "listen",
    "accept",
    "decline",
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
/// The codes of errors, as they are on the wire.
const CODES: [(ErrorCode, &str); 21] = [
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
    (ErrorCode::NoSuchRoom, "no_such_room"),
    (ErrorCode::Declined, "declined"),
    (ErrorCode::NoAnswer, "no_answer"),
    (ErrorCode::NoSuchKnock, "no_such_knock"),
    (ErrorCode::RateLimited, "rate_limited"),
    (ErrorCode::QueueFull, "queue_full"),
    (ErrorCode::Banned, "banned"),
    (ErrorCode::Draining, "draining"),
    (ErrorCode::Unavailable, "unavailable"),
    (ErrorCode::Internal, "internal"),
];
/// What becomes of knocks, in the order of [`KnockEvent`].
const KNOCKS: [&str; 4] = ["rung", "accepted", "declined", "expired"];
/// What becomes of reports that are to be written to the file, in the order of [`ReportEvent`].
const REPORTS: [&str; 3] = ["recorded", "updated", "failed"];
/// What becomes of notices to the webhook, in the order of [`WebhookEvent`].
const WEBHOOKS: [&str; 3] = ["delivered", "failed", "dropped"];
/// WebSocket close codes. 1006 stands for every connection that ended without a close frame of this
/// server, 4999 for a code that is missing here.
const CLOSES: [u16; 17] = [
    1000, 1001, 1002, 1003, 1006, 1007, 1008, 1009, 1011, 1013, 4001, 4002, 4003, 4004, 4005, 4006,
    4999,
];
/// HTTP statuses of answers without an upgrade.
const REFUSALS: [u16; 8] = [400, 403, 404, 405, 426, 429, 431, 503];

/// Upper bounds of the buckets, in seconds.
const MATCH_WAIT_BOUNDS: [f64; 10] = [0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0];
/// Upper bounds of the buckets, in seconds.
const REDIS_LATENCY_BOUNDS: [f64; 9] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.01, 0.05, 0.25, 1.0,
];

/// Something that happens to a knock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KnockEvent {
    /// A caller rings at a client of this node.
    Rung,
    /// A client of this node has accepted.
    Accepted,
    /// A client of this node has declined.
    Declined,
    /// A caller of this node got no answer.
    Expired,
}

/// What became of a report that was to be written to the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReportEvent {
    /// It is the first of this call by this user.
    Recorded,
    /// It has replaced an earlier one.
    Updated,
    /// It could not be written.
    Failed,
}

/// What became of a notice to the webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WebhookEvent {
    Delivered,
    /// It was given up after some attempts.
    Failed,
    /// Too many were waiting.
    Dropped,
}

/// All metrics of one server.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) connections: Gauge,
    searching: Gauge,
    sessions: Gauge,
    draining: Gauge,
    /// Nodes of the cluster that are alive, this one included; 1 without a cluster.
    pub(crate) nodes: Gauge,
    /// Bans that hold, besides those in the ban file.
    bans: Gauge,
    /// Clients banned because several others have reported them.
    pub(crate) restricted: Counter,
    reports: [Counter; REPORTS.len()],
    webhooks: [Counter; WEBHOOKS.len()],
    pub(crate) accepted: Counter,
    /// Includes the upgraded connections that were rejected right after.
    pub(crate) upgrades: Counter,
    pub(crate) queue_overflow: Counter,
    /// How often a flooding client was not read for a while.
    pub(crate) paused: Counter,
    /// How often the connection to Redis was lost or could not be made.
    #[cfg_attr(
        not(feature = "redis"),
        expect(dead_code, reason = "only with Redis is there a store")
    )]
    pub(crate) redis_errors: Counter,
    received: [Counter; RECEIVED.len()],
    relayed: [Counter; RELAYED.len()],
    relayed_bytes: [Counter; RELAYED.len()],
    errors: [Counter; CODES.len()],
    knocks: [Counter; KNOCKS.len()],
    closed: [Counter; CLOSES.len()],
    refused: [Counter; REFUSALS.len()],
    match_wait: Histogram,
    redis_latency: Histogram,
    turn: TurnMetrics,
}

/// What only the hub and the TURN server know, at the moment of a scrape.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Levels {
    pub(crate) searching: usize,
    pub(crate) sessions: usize,
    pub(crate) bans: usize,
    pub(crate) draining: bool,
    /// `None`: no TURN server in this program.
    pub(crate) turn: Option<Stats>,
}

impl Metrics {
    /// The `Content-Type` of [`text`](Self::text).
    pub(crate) const CONTENT_TYPE: &'static str = prometheus_text::CONTENT_TYPE;

    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("tandem");
        let codes = CODES.map(|(_, name)| name);
        let closes = CLOSES.map(|code| code.to_string());
        let refusals = REFUSALS.map(|status| status.to_string());
        let r = &mut registry;

        // The library appends a full stop to each description, and `_total` to counters.
        let metrics = Self {
            connections: gauge(r, "connections", "Clients that are connected"),
            searching: gauge(r, "searching", "Clients of this node that search"),
            sessions: gauge(r, "sessions", "Calls with a side on this node"),
            draining: gauge(r, "draining", "1 while the server is shutting down"),
            nodes: gauge(r, "nodes", "Nodes of the cluster that are alive"),
            bans: gauge(r, "bans", "Bans that hold, besides those in the ban file"),
            restricted: counter(
                r,
                "restricted",
                "Clients banned because several others reported them",
            ),
            reports: counters(
                r,
                "reports",
                "Reports for the file, and what became of them",
                "event",
                REPORTS,
            ),
            webhooks: counters(
                r,
                "webhooks",
                "Notices to the webhook, and what became of them",
                "event",
                WEBHOOKS,
            ),
            accepted: counter(r, "accepted", "TCP connections accepted"),
            upgrades: counter(r, "upgrades", "WebSockets opened"),
            queue_overflow: counter(r, "queue_overflow", "Clients closed for not reading"),
            paused: counter(
                r,
                "paused",
                "Times a flooding client was not read for a while",
            ),
            redis_errors: counter(r, "redis_errors", "Times Redis was lost or out of reach"),
            received: counters(
                r,
                "received_messages",
                "Messages of clients",
                "type",
                RECEIVED,
            ),
            relayed: counters(
                r,
                "relayed_messages",
                "Messages relayed to a partner",
                "type",
                RELAYED,
            ),
            relayed_bytes: counters(
                r,
                "relayed_bytes",
                "Bytes of messages relayed to a partner",
                "type",
                RELAYED,
            ),
            errors: counters(r, "errors", "Errors sent to clients", "code", codes),
            knocks: counters(r, "knocks", "Knocks, and how they ended", "event", KNOCKS),
            closed: counters(
                r,
                "closed",
                "Connections ended, by WebSocket close code",
                "code",
                closes.each_ref().map(String::as_str),
            ),
            refused: counters(
                r,
                "refused",
                "Requests answered without an upgrade",
                "status",
                refusals.each_ref().map(String::as_str),
            ),
            match_wait: histogram(
                r,
                "match_wait_seconds",
                "From searching to partner_found",
                &MATCH_WAIT_BOUNDS,
            ),
            redis_latency: histogram(
                r,
                "redis_latency_seconds",
                "Round trips to Redis",
                &REDIS_LATENCY_BOUNDS,
            ),
            turn: TurnMetrics::new(r),
            registry,
        };

        metrics.nodes.set(1);
        metrics
    }

    /// Counts a client's message by its type.
    pub(crate) fn received(&self, kind: &str) {
        if let Some(at) = RECEIVED.iter().position(|name| *name == kind) {
            self.received[at].inc();
        }
    }

    /// Counts a message to a client, if it is relayed or an error. `bytes` is the length of its
    /// text.
    pub(crate) fn sent(&self, message: &ServerMessage, bytes: usize) {
        let relayed = match message {
            ServerMessage::WebrtcOffer(_) => 0,
            ServerMessage::WebrtcAnswer(_) => 1,
            ServerMessage::IceCandidate(_) => 2,
            ServerMessage::Error(report) => {
                if let Some(at) = CODES.iter().position(|(code, _)| *code == report.code) {
                    self.errors[at].inc();
                }

                return;
            }
            _ => return,
        };

        self.relayed[relayed].inc();
        self.relayed_bytes[relayed].inc_by(bytes as u64);
    }

    /// Counts a knock, or its end.
    pub(crate) fn knock(&self, event: KnockEvent) {
        self.knocks[event as usize].inc();
    }

    /// Counts a report that was to be written to the file.
    pub(crate) fn report(&self, event: ReportEvent) {
        self.reports[event as usize].inc();
    }

    /// Counts a notice to the webhook.
    pub(crate) fn webhook(&self, event: WebhookEvent) {
        self.webhooks[event as usize].inc();
    }

    /// Counts a connection that ended; `None` if not with a close code of this server.
    pub(crate) fn closed(&self, code: Option<u16>) {
        let code = code.unwrap_or(1006);
        let at = CLOSES
            .iter()
            .position(|known| *known == code)
            .unwrap_or(CLOSES.len() - 1);
        self.closed[at].inc();
    }

    /// Counts a request that was answered without an upgrade.
    pub(crate) fn refused(&self, status: u16) {
        if let Some(at) = REFUSALS.iter().position(|known| *known == status) {
            self.refused[at].inc();
        }
    }

    /// Records the time from `searching` to `partner_found`, as the client sees it.
    pub(crate) fn observe_match_wait(&self, wait: Duration) {
        self.match_wait.observe(wait.as_secs_f64());
    }

    /// Records a round trip to Redis.
    #[cfg_attr(
        not(feature = "redis"),
        expect(dead_code, reason = "only with Redis is there a store")
    )]
    pub(crate) fn observe_redis_latency(&self, took: Duration) {
        self.redis_latency.observe(took.as_secs_f64());
    }

    /// All metrics in the Prometheus text format, version 0.0.4.
    pub(crate) fn text(&self, levels: Levels) -> String {
        let level = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        self.searching.set(level(levels.searching));
        self.sessions.set(level(levels.sessions));
        self.bans.set(level(levels.bans));
        self.draining.set(i64::from(levels.draining));

        if let Some(stats) = &levels.turn {
            self.turn.set(stats);
        }

        let mut text = String::with_capacity(8 * 1024);
        encode(&mut text, &self.registry).expect("writing to a string cannot fail");
        text
    }
}

pub(super) fn gauge(registry: &mut Registry, name: &str, help: &str) -> Gauge {
    let gauge = Gauge::default();
    registry.register(name, help, gauge.clone());
    gauge
}

pub(super) fn counter(registry: &mut Registry, name: &str, help: &str) -> Counter {
    let counter = Counter::default();
    registry.register(name, help, counter.clone());
    counter
}

/// One counter for each value of a label, so that every series is there from the start.
pub(super) fn counters<const N: usize>(
    registry: &mut Registry,
    name: &str,
    help: &str,
    label: &'static str,
    values: [&str; N],
) -> [Counter; N] {
    let family = Family::<Vec<(&'static str, String)>, Counter>::default();
    registry.register(name, help, family.clone());

    values.map(|value| {
        family
            .get_or_create(&vec![(label, value.to_owned())])
            .clone()
    })
}

fn histogram(registry: &mut Registry, name: &str, help: &str, bounds: &[f64]) -> Histogram {
    let histogram = Histogram::new(bounds.iter().copied());
    registry.register(name, help, histogram.clone());
    histogram
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::ErrorReport;

    #[test]
    fn every_code_and_type_is_counted_under_its_name_on_the_wire() {
        for (code, name) in CODES {
            assert_eq!(
                serde_json::to_value(code).unwrap(),
                name,
                "the label is the code on the wire"
            );
        }

        let metrics = Metrics::new();
        let report = ErrorReport {
            code: ErrorCode::RateLimited,
            message: String::new(),
            retry_after_ms: None,
            id: None,
        };

        metrics.sent(&ServerMessage::Error(report), 10);
        metrics.received("ping");
        metrics.received("no such type");
        metrics.closed(None);
        metrics.closed(Some(4004));
        metrics.refused(429);
        metrics.report(ReportEvent::Updated);
        metrics.report(ReportEvent::Failed);
        for (event, name) in [
            (KnockEvent::Rung, "rung"),
            (KnockEvent::Accepted, "accepted"),
            (KnockEvent::Declined, "declined"),
            (KnockEvent::Expired, "expired"),
        ] {
            metrics.knock(event);
            let line = format!("tandem_knocks_total{{event=\"{name}\"}} 1");
            let text = metrics.text(Levels::default());
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }

        let text = metrics.text(Levels {
            searching: 3,
            sessions: 2,
            bans: 4,
            draining: false,
            turn: Some(Stats {
                open: 4,
                relayed_packets: 9,
                over_quota: 7,
                dropped_over_rate: 8,
                ..Stats::default()
            }),
        });

        for line in [
            "tandem_errors_total{code=\"rate_limited\"} 1",
            "tandem_received_messages_total{type=\"ping\"} 1",
            "tandem_closed_total{code=\"1006\"} 1",
            "tandem_closed_total{code=\"4004\"} 1",
            "tandem_refused_total{status=\"429\"} 1",
            "tandem_searching 3",
            "tandem_sessions 2",
            "tandem_draining 0",
            "tandem_nodes 1",
            "tandem_bans 4",
            "tandem_reports_total{event=\"recorded\"} 0",
            "tandem_reports_total{event=\"updated\"} 1",
            "tandem_reports_total{event=\"failed\"} 1",
            "tandem_turn_allocations 4",
            "tandem_turn_packets_total 9",
            "tandem_turn_refused_total{reason=\"quota\"} 7",
            "tandem_turn_dropped_total{reason=\"bandwidth\"} 8",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }

    #[test]
    fn every_series_has_its_published_name_and_type_from_the_start() {
        let text = Metrics::new().text(Levels::default());

        for line in [
            "# TYPE tandem_connections gauge",
            "# TYPE tandem_searching gauge",
            "# TYPE tandem_sessions gauge",
            "# TYPE tandem_draining gauge",
            "# TYPE tandem_nodes gauge",
            "# TYPE tandem_bans gauge",
            "# TYPE tandem_restricted_total counter",
            "# TYPE tandem_reports_total counter",
            "# TYPE tandem_webhooks_total counter",
            "# TYPE tandem_accepted_total counter",
            "# TYPE tandem_upgrades_total counter",
            "# TYPE tandem_queue_overflow_total counter",
            "# TYPE tandem_paused_total counter",
            "# TYPE tandem_redis_errors_total counter",
            "# TYPE tandem_received_messages_total counter",
            "# TYPE tandem_relayed_messages_total counter",
            "# TYPE tandem_relayed_bytes_total counter",
            "# TYPE tandem_errors_total counter",
            "# TYPE tandem_knocks_total counter",
            "# TYPE tandem_closed_total counter",
            "# TYPE tandem_refused_total counter",
            "# TYPE tandem_turn_allocations gauge",
            "# TYPE tandem_turn_allocated_total counter",
            "# TYPE tandem_turn_ended_total counter",
            "# TYPE tandem_turn_packets_total counter",
            "# TYPE tandem_turn_bytes_total counter",
            "# TYPE tandem_turn_joined_packets_total counter",
            "# TYPE tandem_turn_refused_total counter",
            "# TYPE tandem_turn_dropped_total counter",
            "# TYPE tandem_match_wait_seconds histogram",
            "# TYPE tandem_redis_latency_seconds histogram",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }

        let series = |prefix: &str| text.lines().filter(|line| line.starts_with(prefix)).count();
        assert_eq!(series("# TYPE "), 31, "no other metrics");
        assert_eq!(series("# HELP tandem_"), 31, "each is described");
        assert_eq!(series("tandem_received_messages_total{type=\""), 18);
        assert_eq!(series("tandem_relayed_messages_total{type=\""), 3);
        assert_eq!(series("tandem_relayed_bytes_total{type=\""), 3);
        assert_eq!(series("tandem_errors_total{code=\""), 21);
        assert_eq!(series("tandem_knocks_total{event=\""), 4);
        assert_eq!(series("tandem_reports_total{event=\""), 3);
        assert_eq!(series("tandem_closed_total{code=\""), 17);
        assert_eq!(series("tandem_refused_total{status=\""), 8);

        for bound in [
            "0.005", "0.025", "0.1", "0.5", "1", "5", "10", "30", "60", "300", "+Inf",
        ] {
            let line = format!("tandem_match_wait_seconds_bucket{{le=\"{bound}\"}} 0");
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }

        for bound in [
            "0.0001", "0.00025", "0.0005", "0.001", "0.0025", "0.01", "0.05", "0.25", "1", "+Inf",
        ] {
            let line = format!("tandem_redis_latency_seconds_bucket{{le=\"{bound}\"}} 0");
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }

    #[test]
    fn the_text_keeps_to_the_format() {
        assert_eq!(
            Metrics::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8"
        );

        let metrics = Metrics::new();
        metrics.observe_match_wait(Duration::from_millis(30));
        metrics.observe_match_wait(Duration::from_secs(400));
        let text = metrics.text(Levels::default());

        assert!(text.ends_with('\n'), "the last line is terminated too");
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
            "buckets are cumulative: {text}"
        );
        assert!(text.contains("tandem_match_wait_seconds_bucket{le=\"+Inf\"} 2"));
        assert!(text.contains("tandem_match_wait_seconds_sum 400.03"));
    }
}
