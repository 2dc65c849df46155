//! What one user reports about another.

use std::time::SystemTime;

use ring::digest;
use serde::Serialize;
use uuid::Builder;

use super::key::PeerHash;
use crate::message::{ReportCategory, SessionId, Snapshot, UserId};

/// A report. There is one for each call and reporter: a second one has the same id, and replaces the
/// first.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    pub(crate) report_id: String,
    /// Unix time in milliseconds.
    pub(crate) at_ms: u64,
    pub(crate) session_id: SessionId,
    #[serde(flatten)]
    pub(crate) said: Said,
    pub(crate) reporter: Party,
    pub(crate) reported: Party,
}

/// Why a report could not be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotRecorded {
    /// The disk, or the space for reports, is full.
    Full,
    /// Any other reason.
    Failed,
}

/// What the reporter says.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Said {
    pub(crate) category: ReportCategory,
    /// In the user's own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
    /// The partner's last frame. It stays at this node: not in the line, and never in the store.
    #[serde(skip)]
    pub(crate) snapshot: Option<Snapshot>,
}

/// One side of a report.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Party {
    pub(crate) user_id: UserId,
    /// The `sub` of the bearer token, if the server requires one. In the ban file, `user:` takes
    /// it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) subject: Option<String>,
    /// What a ban of this party takes. None if only a node that has died knew it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) peer: Option<PeerHash>,
}

/// The id of the report that `reporter` makes about this call: the same on every node and after every
/// resume, without anyone remembering that there was one.
pub(crate) fn report_id(session: &SessionId, reporter: &UserId) -> String {
    let mut hash = digest::Context::new(&digest::SHA256);
    for part in ["report", session.as_str(), reporter.as_str()] {
        hash.update(part.as_bytes());
        hash.update(&[0]);
    }

    let hash = hash.finish();
    let bytes = hash.as_ref().first_chunk().expect("SHA-256 has 32 bytes");
    // RFC 9562 §5.8: a UUID of one's own making.
    Builder::from_custom_bytes(*bytes).into_uuid().to_string()
}

/// Unix time in milliseconds.
pub(crate) fn unix_ms(now: SystemTime) -> u64 {
    let since = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn each_reporter_of_a_call_has_one_report() {
        let id = |session: &str, reporter: &str| report_id(&session.into(), &reporter.into());

        assert_eq!(id("call", "ann"), id("call", "ann"));
        assert_ne!(id("call", "ann"), id("call", "ben"));
        assert_ne!(id("call", "ann"), id("calls", "ann"));
        assert_ne!(id("call", "ann"), id("calla", "nn"), "no shift of letters");
        assert!(
            Uuid::parse_str(&id("call", "ann")).is_ok(),
            "an id as any other"
        );
    }
}
