//! What the operator hears of users and does about them: reports, bans, the admin socket.
//!
//! - `report`, `report_file`: what users report, and where it is kept.
//! - `key`: the hash that stands for a client in reports and bans.

pub(super) mod key;
pub(super) mod report;
pub(super) mod report_file;
