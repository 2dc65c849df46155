//! The file of reports: one JSON object per line. A snapshot is a file of its own, in a folder
//! beside it.
//!
//! The last line with a `reportId` is the report; an update and a decision of the operator add a
//! line. When lines that no longer count are most of the file, it is written anew. The server keeps
//! only where each report is, not the report itself.

mod index;
mod journal;
mod leftovers;

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use serde_json::{Map, Value};

use self::index::Entry;
use self::journal::{Journal, open};
use super::files::{with_suffix, write_whole};
use super::key::PeerHash;
use super::report::{Report, unix_ms};
use crate::message::Snapshot;

/// The most bytes of reports: 60,000 of the largest. Beyond that, new ones are refused.
const MAX_BYTES: u64 = 256 << 20;
/// The most snapshots: 64 MiB of the largest. Beyond that, reports are kept without theirs.
const MAX_SNAPSHOTS: usize = 2048;
/// The most reports of one reporter, who may be a whole network: more than a person makes in the time
/// of a retention, and few enough that nobody fills the file. Its oldest makes room for a new one.
const MAX_PER_REPORTER: usize = 200;
/// The most snapshots among them. Beyond that, its reports are kept without.
const MAX_SNAPSHOTS_PER_REPORTER: usize = 50;
/// Below this many bytes, lines that no longer count are left in the file.
const MIN_COMPACTION: u64 = 1 << 20;

/// How much the file and the folder may hold.
#[derive(Debug, Clone, Copy)]
struct Caps {
    bytes: u64,
    snapshots: usize,
    per_reporter: usize,
    snapshots_per_reporter: usize,
}

/// The reports of one server. Every method blocks until the disk has done its part.
#[derive(Debug)]
pub(crate) struct ReportFile {
    path: PathBuf,
    caps: Caps,
    journal: Mutex<Journal>,
    /// Locked as long as this server runs: two servers would overwrite each other's reports.
    _lock: File,
}

/// What happened to a report that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Written {
    /// It has replaced an earlier report of the same call by the same user.
    pub(crate) is_update: bool,
}

impl ReportFile {
    /// Opens the file and reads where its reports are. A new one is only readable by its owner.
    ///
    /// # Errors
    /// A sentence with the name of the file and the cause.
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        Self::open_with(
            path,
            Caps {
                bytes: MAX_BYTES,
                snapshots: MAX_SNAPSHOTS,
                per_reporter: MAX_PER_REPORTER,
                snapshots_per_reporter: MAX_SNAPSHOTS_PER_REPORTER,
            },
        )
    }

    fn open_with(path: &Path, caps: Caps) -> Result<Self, String> {
        let name = path.display();
        let cannot_write = |error: io::Error| format!("cannot write reports to {name}: {error}");

        let lock = open(&with_suffix(path, ".lock")).map_err(cannot_write)?;
        if lock.try_lock().is_err() {
            return Err(format!(
                "another server writes its reports to {name}: give each a file of its own"
            ));
        }

        let journal = Journal::open(path).map_err(cannot_write)?;
        Ok(Self {
            path: path.to_owned(),
            caps,
            journal: Mutex::new(journal),
            _lock: lock,
        })
    }

    /// Adds a report, or replaces the one with its id. A snapshot that cannot be kept costs the
    /// report nothing else.
    ///
    /// # Errors
    /// The system's error, or that the file is full. The reports in the file are as before.
    pub(crate) fn append(&self, report: &Report) -> io::Result<Written> {
        let mut line = to_object(report)?;
        let mut journal = self.journal.lock();
        let former = journal.entries.get(&report.report_id);
        let had_snapshot = former.is_some_and(|entry| entry.has_snapshot);
        let mut has_snapshot = had_snapshot;
        // Before the snapshot: a report that is refused leaves the one before as it was.
        self.check_room(&journal, &report.report_id, &line)?;

        if let Some(image) = &report.said.snapshot {
            let kept = match had_snapshot {
                true => Ok(()),
                false => self.check_room_for_snapshot(&journal, report.reporter.peer),
            };
            match kept.and_then(|()| self.keep_snapshot(&report.report_id, image)) {
                Ok(()) => has_snapshot = true,
                Err(error) => tracing::error!(
                    cause = %error,
                    "cannot keep a snapshot: its report is recorded without it"
                ),
            }
        }

        if has_snapshot {
            line.insert("snapshot".into(), snapshot_name(&report.report_id).into());
        }

        let appended = self.put(&mut journal, &report.report_id, &line);
        if appended.is_err() && has_snapshot && !had_snapshot {
            // No line names it.
            self.drop_snapshot(&report.report_id);
        }

        appended?;
        self.evict(&mut journal, report.reporter.peer);
        Ok(Written {
            is_update: former.is_some(),
        })
    }

    /// The report with this id, as its line says it.
    ///
    /// # Errors
    /// The system's error.
    pub(crate) fn read(&self, report_id: &str) -> io::Result<Option<Map<String, Value>>> {
        let journal = self.journal.lock();
        let entry = journal.entries.get(report_id);
        entry.map(|entry| journal.read(entry)).transpose()
    }

    /// The newest reports, newest first, at most `limit`; those that are closed only with
    /// `with_closed`.
    ///
    /// # Errors
    /// The system's error.
    pub(crate) fn list(
        &self,
        with_closed: bool,
        limit: usize,
    ) -> io::Result<Vec<Map<String, Value>>> {
        let journal = self.journal.lock();
        let mut entries: Vec<Entry> = journal
            .entries
            .values()
            .filter(|entry| with_closed || !entry.is_closed)
            .collect();
        entries.sort_unstable_by_key(|entry| std::cmp::Reverse((entry.at_ms, entry.start)));
        entries.truncate(limit);

        let mut reports = Vec::with_capacity(entries.len());
        for entry in entries {
            match journal.read(entry) {
                Ok(report) => reports.push(report),
                // The others are worth showing.
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    tracing::error!(at = entry.start, "a line in the file of reports is damaged");
                }
                Err(error) => return Err(error),
            }
        }

        Ok(reports)
    }

    /// How many reports nobody has closed.
    pub(crate) fn open_reports(&self) -> usize {
        let journal = self.journal.lock();
        let open = journal.entries.values().filter(|entry| !entry.is_closed);
        open.count()
    }

    /// Marks a report as dealt with. False if there is none with this id.
    ///
    /// # Errors
    /// The system's error. The report is as before.
    pub(crate) fn close(
        &self,
        report_id: &str,
        note: Option<&str>,
        at_ms: u64,
    ) -> io::Result<bool> {
        let mut journal = self.journal.lock();
        let Some(entry) = journal.entries.get(report_id) else {
            return Ok(false);
        };

        let mut line = journal.read(entry)?;
        let mut closed = Map::from_iter([("atMs".into(), at_ms.into())]);
        if let Some(note) = note {
            closed.insert("note".into(), note.into());
        }

        line.insert("closed".into(), closed.into());
        self.put(&mut journal, report_id, &line)?;
        Ok(true)
    }

    /// Deletes a report and its snapshot. False if there is none with this id.
    ///
    /// # Errors
    /// The system's error.
    pub(crate) fn delete(&self, report_id: &str) -> io::Result<bool> {
        let mut journal = self.journal.lock();
        if journal.entries.get(report_id).is_none() {
            return Ok(false);
        }

        self.delete_all(&mut journal, &[report_id.to_owned()])?;
        Ok(true)
    }

    /// Deletes the reports that are older than `age`, with their snapshots, and the lines that no longer
    /// count, which may be older still. Returns how many reports.
    ///
    /// # Errors
    /// The system's error.
    pub(crate) fn delete_older(&self, age: Duration, now: SystemTime) -> io::Result<usize> {
        let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        let limit = unix_ms(now).saturating_sub(age);
        let mut journal = self.journal.lock();
        let old = journal.entries.ids(|entry| entry.at_ms < limit);
        if old.is_empty() && journal.end > journal.entries.bytes() {
            journal.write_anew(&self.path)?;
        }

        self.delete_all(&mut journal, &old)?;
        Ok(old.len())
    }

    /// Deletes everything that one reporter has reported, with its snapshots. Returns how many.
    ///
    /// # Errors
    /// The system's error.
    pub(crate) fn delete_reporter(&self, reporter: PeerHash) -> io::Result<usize> {
        let mut journal = self.journal.lock();
        let ids = journal
            .entries
            .ids(|entry| entry.reporter == Some(reporter));
        self.delete_all(&mut journal, &ids)?;
        Ok(ids.len())
    }

    /// Opens the file again, after log rotation has moved it away.
    ///
    /// # Errors
    /// The system's error. Reports continue to go to the old file then.
    pub(crate) fn reopen(&self) -> io::Result<()> {
        let mut journal = self.journal.lock();
        let opened = Journal::open(&self.path)?;
        *journal = opened;
        Ok(())
    }

    /// Whether a report fits into the file with this line. One that is closed may always be: the file
    /// gets room that way.
    ///
    /// # Errors
    /// That it is full.
    fn check_room(
        &self,
        journal: &Journal,
        report_id: &str,
        line: &Map<String, Value>,
    ) -> io::Result<()> {
        let bytes = serde_json::to_vec(line).map_err(io::Error::other)?.len() as u64 + 1;
        let former = journal
            .entries
            .get(report_id)
            .map_or(0, |entry| entry.bytes);
        if journal.entries.bytes() - former + bytes > self.caps.bytes {
            return Err(io::Error::new(
                io::ErrorKind::StorageFull,
                "the file of reports is full: delete some",
            ));
        }

        Ok(())
    }

    /// Whether there may be another snapshot of this reporter.
    ///
    /// # Errors
    /// That there may not.
    fn check_room_for_snapshot(
        &self,
        journal: &Journal,
        reporter: Option<PeerHash>,
    ) -> io::Result<()> {
        let (all, of_reporter) = journal.entries.snapshots(reporter);
        if all >= self.caps.snapshots || of_reporter >= self.caps.snapshots_per_reporter {
            return Err(io::Error::new(
                io::ErrorKind::QuotaExceeded,
                "there are too many, of all reporters or of this one: delete reports",
            ));
        }

        Ok(())
    }

    /// Makes a reporter who has too many reports lose the oldest.
    fn evict(&self, journal: &mut Journal, reporter: Option<PeerHash>) {
        let Some(reporter) = reporter else { return };
        while journal.entries.reports_of(reporter) > self.caps.per_reporter {
            let Some(id) = journal.entries.oldest_of(reporter) else {
                return;
            };

            let deleted = serde_json::json!({ "reportId": id, "deleted": true });
            let line = format!("{deleted}\n");
            if let Err(error) = journal.append(line.as_bytes()) {
                tracing::error!(kind = %error.kind(), "cannot make room: a reporter has too many reports");
                return;
            }

            let removed = journal.entries.remove(&id);
            if removed.is_some_and(|entry| entry.has_snapshot) {
                self.drop_snapshot(&id);
            }
        }
    }

    /// Writes the line of a report, in place of the one before.
    fn put(
        &self,
        journal: &mut Journal,
        report_id: &str,
        line: &Map<String, Value>,
    ) -> io::Result<()> {
        let mut text = serde_json::to_vec(line).map_err(io::Error::other)?;
        text.push(b'\n');

        let bytes = text.len() as u64;
        let start = journal.append(&text)?;
        let reporter = line.get("reporter").and_then(|party| party.get("peer"));
        let entry = Entry {
            start,
            bytes,
            at_ms: line.get("atMs").and_then(Value::as_u64).unwrap_or_default(),
            is_closed: line.contains_key("closed"),
            has_snapshot: line.contains_key("snapshot"),
            reporter: reporter
                .and_then(Value::as_str)
                .and_then(|peer| peer.parse().ok()),
        };
        journal.entries.insert(report_id.to_owned(), entry);

        let dead = journal.end - journal.entries.bytes();
        if dead > MIN_COMPACTION.max(journal.end / 2)
            && let Err(error) = journal.write_anew(&self.path)
        {
            // The report itself is in the file.
            tracing::warn!(kind = %error.kind(), "cannot write the file of reports anew: it grows");
        }

        Ok(())
    }

    fn delete_all(&self, journal: &mut Journal, ids: &[String]) -> io::Result<()> {
        if ids.is_empty() {
            return Ok(());
        }

        let remove = |id: &String| Some((id.clone(), journal.entries.remove(id)?));
        let removed: Vec<(String, Entry)> = ids.iter().filter_map(remove).collect();

        // The lines go first: a snapshot without its report is deleted later, see `leftovers`.
        if let Err(error) = journal.write_anew(&self.path) {
            for (id, entry) in removed {
                journal.entries.insert(id, entry);
            }

            return Err(error);
        }

        for (id, entry) in removed {
            if entry.has_snapshot {
                self.drop_snapshot(&id);
            }
        }

        Ok(())
    }

    /// The folder of the snapshots: `reports.jsonl.snapshots`.
    fn snapshots(&self) -> PathBuf {
        with_suffix(&self.path, ".snapshots")
    }

    /// Writes a snapshot, readable by its owner only, in place of the one before.
    fn keep_snapshot(&self, report_id: &str, image: &Snapshot) -> io::Result<()> {
        let folder = self.snapshots();
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&folder)?;

        write_whole(&folder.join(snapshot_name(report_id)), |file| {
            file.write_all(image.jpeg())
        })
        .map(drop)
    }

    fn drop_snapshot(&self, report_id: &str) {
        match fs::remove_file(self.snapshots().join(snapshot_name(report_id))) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::error!(
                report_id,
                kind = %error.kind(),
                "cannot delete the snapshot of a report that was deleted: delete it by hand"
            ),
        }
    }
}

fn snapshot_name(report_id: &str) -> String {
    format!("{report_id}.jpg")
}

fn to_object(report: &Report) -> io::Result<Map<String, Value>> {
    match serde_json::to_value(report) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(io::Error::other("a report is not an object")),
        Err(error) => Err(io::Error::other(error)),
    }
}

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;
