//! The lines of the file of reports, and where in it each report is.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::index::{Entry, Index};
use crate::server::moderation::files::write_whole;

/// A line is never this long: the longest text has 4,000 bytes.
const MAX_LINE: u64 = 64 << 10;

/// The open file, and where in it each report is.
#[derive(Debug)]
pub(super) struct Journal {
    pub(super) file: File,
    /// Its length. Everything up to here is whole lines.
    pub(super) end: u64,
    pub(super) entries: Index,
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
    #[serde(default)]
    reporter: Option<ReporterHead>,
    /// The report has made room for a newer one of its reporter.
    #[serde(default)]
    deleted: bool,
}

#[derive(Deserialize)]
struct ReporterHead {
    #[serde(default)]
    peer: Option<String>,
}

impl Journal {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut file = open(path)?;
        let mut journal = Self {
            end: 0,
            entries: Index::default(),
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
    pub(super) fn index(&mut self, mut lines: impl BufRead) -> io::Result<()> {
        let mut text = Vec::new();
        let mut unreadable = 0;
        loop {
            text.clear();
            let bytes = (&mut lines).take(MAX_LINE).read_until(b'\n', &mut text)? as u64;
            if text.last() != Some(&b'\n') && bytes < MAX_LINE {
                break;
            }

            match serde_json::from_slice::<Head>(&text) {
                Ok(head) if head.deleted => {
                    self.entries.remove(&head.report_id);
                }
                Ok(head) => {
                    let entry = Entry {
                        start: self.end,
                        bytes,
                        at_ms: head.at_ms,
                        is_closed: head.closed.is_some(),
                        has_snapshot: head.snapshot.is_some(),
                        reporter: head
                            .reporter
                            .and_then(|reporter| reporter.peer?.parse().ok()),
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

    /// Appends a line, all of it or nothing, and waits until it is on the disk. Returns where it
    /// begins.
    pub(super) fn append(&mut self, line: &[u8]) -> io::Result<u64> {
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
    pub(super) fn check_length(&mut self) -> io::Result<()> {
        let length = self.file.metadata()?.len();
        if length < self.end {
            tracing::error!("the file of reports was cut: its reports are gone");
            self.entries = Index::default();
            self.end = length;
        }

        if length > self.end {
            self.file.set_len(self.end)?;
        }

        Ok(())
    }

    pub(super) fn read(&self, entry: Entry) -> io::Result<Map<String, Value>> {
        let mut text = Vec::new();
        let mut file = &self.file;
        file.seek(SeekFrom::Start(entry.start))?;
        file.take(entry.bytes).read_to_end(&mut text)?;

        serde_json::from_slice(&text)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// Replaces the file by one with only the lines that count, in their order.
    pub(super) fn write_anew(&mut self, path: &Path) -> io::Result<()> {
        let mut kept: Vec<(String, Entry)> = self
            .entries
            .iter()
            .map(|(id, entry)| (id.clone(), *entry))
            .collect();
        kept.sort_unstable_by_key(|(_, entry)| entry.start);

        let mut end = 0;
        let new = write_whole(path, |new| {
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

        // Not opened by its name: if that failed, lines would go into the deleted file.
        self.file = new;
        self.end = end;
        self.entries = kept.into_iter().collect();
        Ok(())
    }
}

pub(super) fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).read(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);

    options.open(path)
}
