//! The file of reports: one JSON object per line. A snapshot is a file of its own, in a folder
//! beside it.
//!
//! The last line with a `reportId` is the report; an update and a decision of the operator add a
//! line. When lines that no longer count are most of the file, it is written anew. The server keeps
//! only where each report is, not the report itself.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::files::{with_suffix, write_whole};
use super::report::{Report, unix_ms};
use crate::message::Snapshot;

/// The most bytes of reports: 60,000 of the largest. Beyond that, new ones are refused.
const MAX_BYTES: u64 = 256 << 20;
/// The most snapshots: 64 MiB of the largest. Beyond that, reports are kept without theirs.
const MAX_SNAPSHOTS: usize = 2048;
/// Below this many bytes, lines that no longer count are left in the file.
const MIN_COMPACTION: u64 = 1 << 20;
/// A line is never this long: the longest text has 4,000 bytes.
const MAX_LINE: u64 = 64 << 10;

/// How much the file and the folder may hold.
#[derive(Debug, Clone, Copy)]
struct Caps {
    bytes: u64,
    snapshots: usize,
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

/// The open file, and where in it each report is.
#[derive(Debug)]
struct Journal {
    file: File,
    /// Its length. Everything up to here is whole lines.
    end: u64,
    entries: HashMap<String, Entry>,
    /// Files in the folder of snapshots.
    snapshots: usize,
}

/// The last line of a report.
#[derive(Debug, Clone, Copy)]
struct Entry {
    start: u64,
    bytes: u64,
    at_ms: u64,
    is_closed: bool,
    has_snapshot: bool,
}

/// What the index needs of a line.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    report_id: String,
    #[serde(default)]
    at_ms: u64,
    #[serde(default)]
    snapshot: Option<String>,
    #[serde(default)]
    closed: Option<Value>,
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
        let former = journal.entries.get(&report.report_id).copied();
        let had_snapshot = former.is_some_and(|entry| entry.has_snapshot);
        let mut has_snapshot = had_snapshot;

        if let Some(image) = &report.said.snapshot {
            match self.keep_snapshot(&report.report_id, image, journal.snapshots, has_snapshot) {
                Ok(()) => {
                    journal.snapshots += usize::from(!has_snapshot);
                    has_snapshot = true;
                }
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
            self.drop_snapshot(&mut journal, &report.report_id);
        }

        appended.map(|()| Written {
            is_update: former.is_some(),
        })
    }

    /// The report with this id, as its line says it.
    ///
    /// # Errors
    /// The system's error.
    pub(crate) fn read(&self, report_id: &str) -> io::Result<Option<Map<String, Value>>> {
        let journal = self.journal.lock();
        let entry = journal.entries.get(report_id).copied();
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
            .copied()
            .collect();
        entries.sort_unstable_by_key(|entry| std::cmp::Reverse((entry.at_ms, entry.start)));
        entries.truncate(limit);

        entries
            .into_iter()
            .map(|entry| journal.read(entry))
            .collect()
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
        let Some(&entry) = journal.entries.get(report_id) else {
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
        if !journal.entries.contains_key(report_id) {
            return Ok(false);
        }

        self.delete_all(&mut journal, &[report_id.to_owned()])?;
        Ok(true)
    }

    /// Deletes the reports that are older than `age`, with their snapshots. Returns how many.
    ///
    /// # Errors
    /// The system's error.
    pub(crate) fn delete_older(&self, age: Duration, now: SystemTime) -> io::Result<usize> {
        let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        let limit = unix_ms(now).saturating_sub(age);
        let mut journal = self.journal.lock();
        let old: Vec<String> = journal
            .entries
            .iter()
            .filter(|(_, entry)| entry.at_ms < limit)
            .map(|(id, _)| id.clone())
            .collect();

        if !old.is_empty() {
            self.delete_all(&mut journal, &old)?;
        }

        Ok(old.len())
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
        let former = journal
            .entries
            .get(report_id)
            .map_or(0, |entry| entry.bytes);
        if journal.live_bytes() - former + bytes > self.caps.bytes {
            return Err(io::Error::new(
                io::ErrorKind::StorageFull,
                "the file of reports is full: close and delete some",
            ));
        }

        let start = journal.append(&text)?;
        let entry = Entry {
            start,
            bytes,
            at_ms: line.get("atMs").and_then(Value::as_u64).unwrap_or_default(),
            is_closed: line.contains_key("closed"),
            has_snapshot: line.contains_key("snapshot"),
        };
        journal.entries.insert(report_id.to_owned(), entry);

        let dead = journal.end - journal.live_bytes();
        if dead > MIN_COMPACTION.max(journal.end / 2)
            && let Err(error) = journal.write_anew(&self.path)
        {
            // The report itself is in the file.
            tracing::warn!(kind = %error.kind(), "cannot write the file of reports anew: it grows");
        }

        Ok(())
    }

    fn delete_all(&self, journal: &mut Journal, ids: &[String]) -> io::Result<()> {
        let removed: Vec<(String, Entry)> = ids
            .iter()
            .filter_map(|id| journal.entries.remove_entry(id))
            .collect();

        // The lines go first: a snapshot without its report would never be deleted.
        if let Err(error) = journal.write_anew(&self.path) {
            journal.entries.extend(removed);
            return Err(error);
        }

        for (id, entry) in removed {
            if entry.has_snapshot {
                self.drop_snapshot(journal, &id);
            }
        }

        Ok(())
    }

    /// The folder of the snapshots: `reports.jsonl.snapshots`.
    fn snapshots(&self) -> PathBuf {
        with_suffix(&self.path, ".snapshots")
    }

    /// Writes a snapshot, readable by its owner only, in place of the one before.
    fn keep_snapshot(
        &self,
        report_id: &str,
        image: &Snapshot,
        kept: usize,
        replaces: bool,
    ) -> io::Result<()> {
        if kept >= self.caps.snapshots && !replaces {
            return Err(io::Error::new(
                io::ErrorKind::QuotaExceeded,
                "the folder of snapshots is full: delete reports",
            ));
        }

        let folder = self.snapshots();
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&folder)?;

        write_whole(&folder.join(snapshot_name(report_id)), |file| {
            file.write_all(image.jpeg())
        })
    }

    fn drop_snapshot(&self, journal: &mut Journal, report_id: &str) {
        match fs::remove_file(self.snapshots().join(snapshot_name(report_id))) {
            Ok(()) => journal.snapshots = journal.snapshots.saturating_sub(1),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::error!(
                report_id,
                kind = %error.kind(),
                "cannot delete the snapshot of a report that was deleted: delete it by hand"
            ),
        }
    }
}

impl Journal {
    fn open(path: &Path) -> io::Result<Self> {
        let mut file = open(path)?;
        let mut journal = Self {
            end: 0,
            entries: HashMap::new(),
            snapshots: fs::read_dir(with_suffix(path, ".snapshots")).map_or(0, Iterator::count),
            file: file.try_clone()?,
        };

        let length = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(0))?;
        journal.index(BufReader::new(&file))?;

        if journal.end < length {
            // A server that was killed, or a full disk, has left half a line.
            tracing::warn!(
                bytes = length - journal.end,
                "the last line in the file of reports is not whole: it is dropped"
            );
            file.set_len(journal.end)?;
        }

        Ok(journal)
    }

    /// Reads where each report is, up to the last whole line.
    fn index(&mut self, mut lines: impl BufRead) -> io::Result<()> {
        let mut text = Vec::new();
        let mut unreadable = 0;
        loop {
            text.clear();
            let bytes = (&mut lines).take(MAX_LINE).read_until(b'\n', &mut text)? as u64;
            if text.last() != Some(&b'\n') && bytes < MAX_LINE {
                break;
            }

            match serde_json::from_slice::<Head>(&text) {
                Ok(head) => {
                    let entry = Entry {
                        start: self.end,
                        bytes,
                        at_ms: head.at_ms,
                        is_closed: head.closed.is_some(),
                        has_snapshot: head.snapshot.is_some(),
                    };
                    self.entries.insert(head.report_id, entry);
                }
                Err(_) => unreadable += 1,
            }

            self.end += bytes;
        }

        if unreadable > 0 {
            tracing::warn!(
                lines = unreadable,
                "the file of reports has lines that are no reports"
            );
        }

        Ok(())
    }

    fn live_bytes(&self) -> u64 {
        self.entries.values().map(|entry| entry.bytes).sum()
    }

    /// Appends a line, all of it or nothing, and waits until it is on the disk. Returns where it
    /// begins.
    fn append(&mut self, line: &[u8]) -> io::Result<u64> {
        self.check_length()?;
        let start = self.end;
        let written = self
            .file
            .write_all(line)
            .and_then(|()| self.file.sync_data());

        if let Err(error) = written {
            // A full disk takes a part of it: the next report must not continue that line.
            if let Err(error) = self.file.set_len(start) {
                tracing::warn!(kind = %error.kind(), "half a report is left in the file for now");
            }

            return Err(error);
        }

        self.end += line.len() as u64;
        Ok(start)
    }

    /// Brings back in step what an error, or another program, has left of the file.
    fn check_length(&mut self) -> io::Result<()> {
        let length = self.file.metadata()?.len();
        if length < self.end {
            tracing::error!("the file of reports was cut: its reports are gone");
            self.entries.clear();
            self.end = length;
        }

        if length > self.end {
            self.file.set_len(self.end)?;
        }

        Ok(())
    }

    fn read(&self, entry: Entry) -> io::Result<Map<String, Value>> {
        let mut text = Vec::new();
        let mut file = &self.file;
        file.seek(SeekFrom::Start(entry.start))?;
        file.take(entry.bytes).read_to_end(&mut text)?;

        serde_json::from_slice(&text).map_err(io::Error::other)
    }

    /// Replaces the file by one with only the lines that count, in their order.
    fn write_anew(&mut self, path: &Path) -> io::Result<()> {
        let mut kept: Vec<(String, Entry)> = self
            .entries
            .iter()
            .map(|(id, entry)| (id.clone(), *entry))
            .collect();
        kept.sort_unstable_by_key(|(_, entry)| entry.start);

        let mut end = 0;
        write_whole(path, |new| {
            let mut new = io::BufWriter::new(new);
            for (_, entry) in &mut kept {
                let mut old = &self.file;
                old.seek(SeekFrom::Start(entry.start))?;
                io::copy(&mut old.take(entry.bytes), &mut new)?;
                entry.start = end;
                end += entry.bytes;
            }

            new.flush()
        })?;

        self.file = open(path)?;
        self.end = end;
        self.entries = kept.into_iter().collect();
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).read(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);

    options.open(path)
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
