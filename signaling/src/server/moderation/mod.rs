//! What the operator hears of users and does about them: reports, bans, the admin socket.
//!
//! - `report`, `report_file`: what users report, and where it is kept.
//! - `key`: the hash that stands for a client in reports and bans.
//! - `admin`: the operator's commands, and the socket for them.
//! - `webhook`: notices of new reports to another program.
//! - `bans`: who is kept out, and until when; `restrict`: bans without the operator. Sans-IO.
//! - `ban_file`: the bans of a single server; `files`: writing files whole.
#![expect(
    clippy::disallowed_methods,
    reason = "a shell: bans end by the wall clock"
)]

pub(super) mod admin;
mod ban_file;
pub(super) mod bans;
mod files;
pub(super) mod key;
pub(super) mod report;
pub(super) mod report_file;
pub(super) mod restrict;
pub(super) mod webhook;

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};

use self::bans::{Change, FOREVER, PeerBans, TooManyBans, UntilMs};
use self::files::with_suffix;
use self::key::{PeerHash, PeerKey};
use self::report::{Report, unix_ms};
use self::report_file::{ReportFile, Written};
use self::restrict::{RepeatedReports, RestrictRule};
use self::webhook::{MAX_WAITING, Notice, WebhookTarget};
use crate::message::{ErrorCode, Fault};

/// The operator's settings.
#[derive(Debug, Clone, Default)]
pub(super) struct ModerationConfig {
    pub(super) reports: Option<PathBuf>,
    /// After how long a report is deleted; zero: never.
    pub(super) report_retention: Duration,
    /// The key of the hashes in reports and bans.
    pub(super) peer_key: Option<PathBuf>,
    pub(super) restrict: RestrictRule,
    /// Whether other nodes share the bans.
    pub(super) is_node: bool,
    /// The address of the program that is told of new reports.
    pub(super) webhook: Option<String>,
}

/// Reports and bans of one server.
#[derive(Debug)]
pub(super) struct Moderation {
    pub(super) reports: Option<ReportFile>,
    pub(super) key: PeerKey,
    config: ModerationConfig,
    bans: Mutex<PeerBans>,
    /// Whether the other nodes know clients by other hashes.
    has_other_key: AtomicBool,
    repeated: Mutex<RepeatedReports>,
    webhook: Option<Webhook>,
    /// Where the bans are kept, if they outlive the server and no store has them.
    ban_file: Option<PathBuf>,
    /// Held while that file is written: by one task at a time, the newest list last.
    saving: Mutex<()>,
    /// Notified when that file has to be written.
    bans_changed: Notify,
}

/// Where notices of new reports go.
#[derive(Debug)]
struct Webhook {
    target: WebhookTarget,
    notices: mpsc::Sender<Notice>,
    /// The other end, until the task that sends them has it.
    waiting: Mutex<Option<mpsc::Receiver<Notice>>>,
}

impl Webhook {
    fn new(address: &str) -> Result<Self, String> {
        let (notices, waiting) = mpsc::channel(MAX_WAITING);
        Ok(Self {
            target: WebhookTarget::parse(address)?,
            notices,
            waiting: Mutex::new(Some(waiting)),
        })
    }
}

impl Moderation {
    /// Opens the files that the settings name.
    ///
    /// # Errors
    /// A sentence with the name of the file and the cause.
    pub(super) fn new(config: ModerationConfig) -> Result<Self, String> {
        let reports = config.reports.as_deref().map(ReportFile::open);
        let reports = reports.transpose()?;
        let key = peer_key(&config)?;
        if config.is_node && !key.is_kept() {
            tracing::info!(
                "no peer key in a file: the bans of `admin` hold on this node only, until it stops"
            );
        }

        let is_shared = config.is_node && key.is_kept();
        let mut bans = PeerBans::new(is_shared);
        let ban_file = key_file(&config)
            .filter(|_| !config.is_node)
            .map(|key| with_suffix(&key, ".bans"));
        if let Some(path) = &ban_file {
            let kept = ban_file::read(path)?.into_iter();
            bans.replace(kept.map(|(peer, until)| Change {
                peer,
                until: Some(until),
                at_ms: 0,
            }));
        }

        let webhook = config.webhook.as_deref().map(Webhook::new).transpose()?;
        Ok(Self {
            reports,
            webhook,
            bans: Mutex::new(bans),
            has_other_key: AtomicBool::new(false),
            ban_file,
            saving: Mutex::default(),
            bans_changed: Notify::new(),
            repeated: Mutex::default(),
            key,
            config,
        })
    }

    /// Who a client is to the operator.
    pub(super) fn peer(&self, address: IpAddr, subject: Option<&str>) -> PeerHash {
        self.key.hash(address, subject)
    }

    /// Whether a client may be here.
    ///
    /// # Errors
    /// What it is told if it is banned.
    pub(super) fn check(&self, peer: PeerHash) -> Result<(), Fault> {
        let now_ms = now_ms();
        match self.bans.lock().banned_until(peer, now_ms) {
            None => Ok(()),
            Some(until) => Err(banned(until, now_ms)),
        }
    }

    /// Bans a client for this long, or for good. Returns until when.
    ///
    /// # Errors
    /// If there are too many bans.
    pub(super) fn ban(
        &self,
        peer: PeerHash,
        lasts: Option<Duration>,
    ) -> Result<UntilMs, TooManyBans> {
        let now_ms = now_ms();
        let until = lasts.map_or(FOREVER, |lasts| {
            let ms = u64::try_from(lasts.as_millis()).unwrap_or(FOREVER);
            now_ms.saturating_add(ms).min(FOREVER)
        });

        self.bans.lock().ban(peer, until, now_ms)?;
        self.bans_changed.notify_one();
        Ok(until)
    }

    /// Lifts a ban. False if this node knows of none.
    pub(super) fn unban(&self, peer: PeerHash) -> bool {
        let was_banned = self.bans.lock().unban(peer, now_ms());
        self.bans_changed.notify_one();
        was_banned
    }

    /// The bans that hold, the first to end first.
    pub(super) fn bans(&self) -> Vec<(PeerHash, UntilMs)> {
        self.bans.lock().list(now_ms())
    }

    /// How many bans hold.
    pub(super) fn ban_count(&self) -> usize {
        self.bans.lock().len(now_ms())
    }

    /// Waits until [`save_bans`](Self::save_bans) has something to write.
    pub(super) async fn bans_changed(&self) {
        self.bans_changed.notified().await;
    }

    /// Writes the bans to their file, if there is one. Blocks.
    ///
    /// # Errors
    /// The system's error.
    pub(super) fn save_bans(&self) -> io::Result<()> {
        match &self.ban_file {
            Some(path) => {
                let _saving = self.saving.lock();
                ban_file::write(path, &self.bans())
            }
            None => Ok(()),
        }
    }

    /// Whether other nodes get the bans of this one.
    pub(super) fn shares_bans(&self) -> bool {
        self.may_share_bans() && !self.has_other_key.load(Ordering::Relaxed)
    }

    /// Whether they would, with the same key.
    pub(super) fn may_share_bans(&self) -> bool {
        self.config.is_node && self.key.is_kept()
    }

    /// Writes a report to the file, if there is one. Blocks.
    ///
    /// # Errors
    /// The system's error.
    pub(super) fn record(&self, report: &Report) -> io::Result<Written> {
        match &self.reports {
            Some(file) => file.append(report),
            None => Ok(Written { is_update: false }),
        }
    }

    /// Counts a new report that was recorded. Returns whom it makes the server restrict, after having
    /// banned it.
    pub(super) fn count_report(&self, report: &Report) -> Option<PeerHash> {
        let rule = self.config.restrict;
        let (reporter, reported) = (report.reporter.peer?, report.reported.peer?);
        if reporter == reported {
            // Two people behind one address, or one with two windows: no stranger complains.
            return None;
        }

        let is_enough = self
            .repeated
            .lock()
            .count(rule, reporter, reported, now_ms());

        // A longer ban by the operator stays.
        let is_banned = self.check(reported).is_err();
        (is_enough && !is_banned && self.ban(reported, Some(rule.lasts)).is_ok())
            .then_some(reported)
    }

    /// Queues a notice of this new report for the webhook, if there is one. False if too many wait.
    pub(super) fn notify(&self, report: &Report) -> bool {
        let notice = |webhook: &Webhook| webhook.notices.try_send(report.into()).is_ok();
        self.webhook.as_ref().is_none_or(notice)
    }

    /// What the task that sends notices needs. Only the first call returns it.
    pub(super) fn webhook_task(&self) -> Option<(WebhookTarget, mpsc::Receiver<Notice>)> {
        let webhook = self.webhook.as_ref()?;
        let waiting = webhook.waiting.lock().take()?;
        Some((webhook.target.clone(), waiting))
    }

    /// Deletes snapshots that a killed server has left without a report. Blocks.
    pub(super) fn delete_leftovers(&self) {
        let deleted = self
            .reports
            .as_ref()
            .map(|file| file.delete_leftovers(SystemTime::now()));
        match deleted {
            None | Some(Ok(0)) => {}
            Some(Ok(snapshots)) => {
                tracing::info!(snapshots, "deleted snapshots that no report names");
            }
            Some(Err(error)) => tracing::error!(
                kind = %error.kind(),
                "cannot delete snapshots that no report names: the next attempt is in an hour"
            ),
        }
    }

    /// Deletes the reports past their retention. Blocks. Returns how many.
    ///
    /// # Errors
    /// The system's error.
    pub(super) fn delete_old_reports(&self) -> io::Result<usize> {
        let age = self.config.report_retention;
        match &self.reports {
            Some(file) if !age.is_zero() => file.delete_older(age, SystemTime::now()),
            _ => Ok(0),
        }
    }
}

/// What the task that talks to the shared store does with the bans.
#[cfg_attr(
    not(feature = "redis"),
    expect(dead_code, reason = "only with Redis is there a store")
)]
impl Moderation {
    /// Whether the key of this node is that of the other nodes: without, their bans say nothing here.
    pub(super) fn set_has_other_key(&self, has_other_key: bool) {
        self.has_other_key.store(has_other_key, Ordering::Relaxed);
    }

    /// See [`PeerBans::meet_list`], then [`PeerBans::changes`].
    pub(super) fn changes_for_list(&self, id: Option<String>) -> Vec<Change> {
        let mut bans = self.bans.lock();
        bans.meet_list(id);
        bans.changes()
    }

    /// See [`PeerBans::confirm`].
    pub(super) fn confirm_changes(&self, changes: &[Change]) {
        self.bans.lock().confirm(changes);
    }

    /// See [`PeerBans::began_list`].
    pub(super) fn began_ban_list(&self, id: String) {
        self.bans.lock().began_list(id);
    }

    /// See [`PeerBans::replace`].
    pub(super) fn replace_bans(&self, list: Vec<Change>) {
        self.bans.lock().replace(list);
    }
}

/// The file of the key: the one that the settings name, or else one beside the reports.
fn key_file(config: &ModerationConfig) -> Option<PathBuf> {
    let beside_reports = || Some(with_suffix(config.reports.as_ref()?, ".key"));
    config.peer_key.clone().or_else(beside_reports)
}

/// The key in its file; without one, a new key.
fn peer_key(config: &ModerationConfig) -> Result<PeerKey, String> {
    match key_file(config) {
        Some(path) => PeerKey::read_or_make(&path),
        None => PeerKey::random(),
    }
}

/// The present, as Unix time in milliseconds.
pub(super) fn now_ms() -> u64 {
    unix_ms(SystemTime::now())
}

/// What a banned client is told.
fn banned(until: UntilMs, now_ms: u64) -> Fault {
    const MINUTE: u64 = 60_000;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;

    let left = until.saturating_sub(now_ms);
    let many = |unit: u64, name: &str| match left.div_ceil(unit) {
        1 => format!("for another {name}"),
        n => format!("for another {n} {name}s"),
    };
    let time = if until >= FOREVER {
        "for good".to_owned()
    } else if left <= HOUR {
        many(MINUTE, "minute")
    } else if left <= DAY {
        many(HOUR, "hour")
    } else {
        many(DAY, "day")
    };

    Fault::new(
        ErrorCode::Banned,
        format!("You are banned from this server {time}: contact its operator."),
    )
}

#[cfg(test)]
mod tests {
    use super::report::{Party, Said};
    use super::*;
    use crate::message::ReportCategory;

    #[test]
    fn a_banned_client_is_told_for_how_long() {
        for (left, words) in [
            (1, "for another minute"),
            (61_000, "for another 2 minutes"),
            (3_600_000, "for another 60 minutes"),
            (3_600_001, "for another 2 hours"),
            (86_400_001, "for another 2 days"),
            (FOREVER, "for good"),
        ] {
            let text = banned(left, 0).message;
            assert!(text.contains(words), "{left}: {text}");
        }
    }

    #[test]
    fn a_restriction_does_not_shorten_a_ban() {
        let moderation = Moderation::new(ModerationConfig {
            restrict: RestrictRule {
                after: 1,
                within: Duration::from_secs(60),
                lasts: Duration::from_secs(60),
            },
            ..ModerationConfig::default()
        })
        .unwrap();
        let (ann, ben) = (
            moderation.peer([192, 0, 2, 1].into(), None),
            moderation.peer([198, 51, 100, 1].into(), None),
        );
        let party = |peer| Party {
            user_id: "u".into(),
            subject: None,
            peer: Some(peer),
        };
        let report = Report {
            report_id: "r".into(),
            at_ms: 0,
            session_id: "s".into(),
            said: Said {
                category: ReportCategory::Spam,
                text: None,
                snapshot: None,
            },
            reporter: party(ann),
            reported: party(ben),
        };

        let until = moderation.ban(ben, None).unwrap();
        assert_eq!(moderation.count_report(&report), None);
        assert_eq!(moderation.bans(), [(ben, until)]);
        assert!(moderation.unban(ben) && !moderation.unban(ben));
        assert_eq!(moderation.count_report(&report), Some(ben));
        assert!(moderation.check(ben).is_err() && moderation.check(ann).is_ok());

        let own = Report {
            reported: party(ann),
            ..report
        };
        assert_eq!(moderation.count_report(&own), None, "its own network");
    }
}
