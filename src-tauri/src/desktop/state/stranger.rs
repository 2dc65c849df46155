//! The stranger that the user meets, or has just met.

use serde::{Deserialize, Serialize};
use tandem_signaling::message::ReportCategory;
use ts_rs::TS;

/// The stranger of the call on the screen, or of the one that has just ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub struct StrangerState {
    /// For the command that says that the page shows who it is.
    pub id: u32,
    /// The page has shown who it is. Nothing is sent before.
    pub shown: bool,
    /// The interests that both gave, which a server names: show them as plain text only.
    pub interests: Vec<String>,
    /// What became of the user's report about them.
    pub report: ReportStatus,
    /// Whether the user never meets them again.
    pub block: BlockStatus,
}

/// What became of a report.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum ReportStatus {
    /// There is none.
    #[default]
    None,
    /// It is on its way.
    Sending,
    /// The server has recorded it.
    Sent,
    /// The server records no reports.
    NotRecorded,
    /// The server did not take it.
    Failed,
}

/// What became of a block.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum BlockStatus {
    /// There is none.
    #[default]
    None,
    /// It is on its way.
    Sending,
    /// The server keeps the two apart.
    Blocked,
    /// The server did not take it, or has not answered yet.
    Failed,
}

/// What a report is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
pub enum ReportReason {
    /// Nudity or sexual content.
    Nudity,
    /// Insults, threats, hate.
    Harassment,
    /// A minor is in the call.
    Minor,
    /// Advertising, fraud, bots.
    Spam,
    /// Anything else.
    Other,
}

impl From<ReportReason> for ReportCategory {
    fn from(reason: ReportReason) -> Self {
        match reason {
            ReportReason::Nudity => Self::Nudity,
            ReportReason::Harassment => Self::Harassment,
            ReportReason::Minor => Self::Minor,
            ReportReason::Spam => Self::Spam,
            ReportReason::Other => Self::Other,
        }
    }
}
