//! Reporting and blocking a partner, during a call and after it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use tandem_signaling::client::SendError;
use tandem_signaling::message::{
    ClientMessage, ErrorCode, ReportCategory, RequestId, ServerMessage, SessionId, Snapshot, UserId,
};

use super::SignalingLine;

/// The `id` of a report, by which its answer is known. There is one at a time.
const REPORT: &str = "report";
/// The `id` of a block.
const BLOCK: &str = "block";

/// What the user says about a partner. The server keeps it for its operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What it is about.
    pub category: ReportCategory,
    /// In the user's own words, at most
    /// [`MAX_REPORT_CHARS`](tandem_signaling::message::MAX_REPORT_CHARS).
    pub text: Option<String>,
    /// The partner's last frame as a JPEG, at most
    /// [`MAX_SNAPSHOT_BYTES`](tandem_signaling::message::MAX_SNAPSHOT_BYTES). A larger one is left
    /// out.
    pub snapshot: Option<Vec<u8>>,
}

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportOutcome {
    /// The server has recorded it.
    Recorded,
    /// The server records no reports, or cannot at the moment.
    NotRecorded,
    /// The server does not know the call any more, or is out of reach.
    Failed,
}

impl ReportOutcome {
    /// What a message of the server says about a report. `None`: nothing.
    #[must_use]
    pub fn of(message: &ServerMessage) -> Option<Self> {
        match message {
            ServerMessage::ReportReceived(_) => Some(Self::Recorded),
            ServerMessage::Error(error) if answers(error.id.as_ref(), REPORT) => {
                Some(match error.code {
                    ErrorCode::Unavailable => Self::NotRecorded,
                    _ => Self::Failed,
                })
            }
            _ => None,
        }
    }
}

/// What became of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlockOutcome {
    /// The server keeps the two apart from now on.
    Blocked(UserId),
    /// It does not.
    Refused,
}

impl BlockOutcome {
    /// What a message of the server says about a block. `None`: nothing.
    #[must_use]
    pub fn of(message: &ServerMessage) -> Option<Self> {
        match message {
            ServerMessage::Blocked(blocked) => Some(Self::Blocked(blocked.partner_id.clone())),
            ServerMessage::Error(error) if answers(error.id.as_ref(), BLOCK) => Some(Self::Refused),
            _ => None,
        }
    }
}

fn answers(id: Option<&RequestId>, asked: &str) -> bool {
    id.is_some_and(|id| id.as_str() == asked)
}

impl SignalingLine {
    /// Reports the partner of this session, which is the current one or ended within the last ten
    /// minutes. [`ReportOutcome::of`] one of the next messages says what became of it.
    ///
    /// # Errors
    /// As [`Client::send`](tandem_signaling::client::Client::send).
    pub fn report(&mut self, session_id: SessionId, report: &Report) -> Result<(), SendError> {
        let snapshot = report.snapshot.as_ref().map(|jpeg| BASE64.encode(jpeg));
        let message = ClientMessage::Report {
            session_id,
            category: report.category,
            text: report.text.clone(),
            snapshot: snapshot.and_then(Snapshot::parse),
        };

        self.send_with_id(message, REPORT.into())
    }

    /// Never meets this partner again, as long as the server knows both. Ends a call with them.
    /// [`BlockOutcome::of`] one of the next messages says what became of it. Asking again does no harm.
    ///
    /// # Errors
    /// As [`Client::send`](tandem_signaling::client::Client::send).
    pub fn block(&mut self, partner: UserId) -> Result<(), SendError> {
        let message = ClientMessage::Block {
            partner_id: partner,
        };
        self.send_with_id(message, BLOCK.into())
    }
}

#[cfg(test)]
mod tests {
    use tandem_signaling::message::parse_server;

    use super::*;

    fn outcome(json: &str) -> Option<ReportOutcome> {
        ReportOutcome::of(&parse_server(json).unwrap().message)
    }

    #[test]
    fn only_the_answer_to_a_report_is_one() {
        let received = r#"{"type":"report_received","reportId":"r","id":"report"}"#;
        assert_eq!(outcome(received), Some(ReportOutcome::Recorded));

        let refused = |code: &str, id: &str| {
            outcome(&format!(
                r#"{{"type":"error","code":"{code}","message":"No.","id":"{id}"}}"#
            ))
        };
        assert_eq!(
            refused("unavailable", "report"),
            Some(ReportOutcome::NotRecorded)
        );
        for code in ["no_such_session", "rate_limited", "internal", "bad_message"] {
            assert_eq!(
                refused(code, "report"),
                Some(ReportOutcome::Failed),
                "{code}"
            );
        }

        assert_eq!(
            refused("unavailable", "7"),
            None,
            "another message's answer"
        );
        let search = r#"{"type":"error","code":"unavailable","message":"No."}"#;
        assert_eq!(outcome(search), None, "that of a search");
    }
}
