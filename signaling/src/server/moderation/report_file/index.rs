//! Where each report is in the file, and how much space whose reports take.

use std::collections::HashMap;

use crate::server::moderation::key::PeerHash;
use crate::server::shrink::ShrinkIfSparse;

/// The last line of a report.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) start: u64,
    pub(super) bytes: u64,
    pub(super) at_ms: u64,
    pub(super) is_closed: bool,
    pub(super) has_snapshot: bool,
    /// Who has reported. None if nobody knows.
    pub(super) reporter: Option<PeerHash>,
}

/// How many reports and snapshots there are of someone, or of all.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    reports: usize,
    snapshots: usize,
}

/// The reports by their ids, with sums that are always up to date.
#[derive(Debug, Default)]
pub(super) struct Index {
    entries: HashMap<String, Entry>,
    /// Of all entries together.
    bytes: u64,
    snapshots: usize,
    reporters: HashMap<PeerHash, Count>,
}

impl Index {
    pub(super) fn get(&self, id: &str) -> Option<Entry> {
        self.entries.get(id).copied()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &Entry)> {
        self.entries.iter()
    }

    pub(super) fn values(&self) -> impl Iterator<Item = Entry> {
        self.entries.values().copied()
    }

    /// The ids of the reports that are like this.
    pub(super) fn ids(&self, is_wanted: impl Fn(&Entry) -> bool) -> Vec<String> {
        let wanted = self.iter().filter(|(_, entry)| is_wanted(entry));
        wanted.map(|(id, _)| id.clone()).collect()
    }

    /// Sets the place of a report.
    pub(super) fn insert(&mut self, id: String, entry: Entry) {
        self.remove(&id);
        self.bytes += entry.bytes;
        self.snapshots += usize::from(entry.has_snapshot);
        if let Some(reporter) = entry.reporter {
            let count = self.reporters.entry(reporter).or_default();
            count.reports += 1;
            count.snapshots += usize::from(entry.has_snapshot);
        }

        self.entries.insert(id, entry);
    }

    pub(super) fn remove(&mut self, id: &str) -> Option<Entry> {
        let entry = self.entries.remove(id)?;
        self.bytes -= entry.bytes;
        self.snapshots -= usize::from(entry.has_snapshot);
        if let Some(reporter) = entry.reporter
            && let Some(count) = self.reporters.get_mut(&reporter)
        {
            count.reports -= 1;
            count.snapshots -= usize::from(entry.has_snapshot);
            if count.reports == 0 {
                self.reporters.remove(&reporter);
                self.reporters.shrink_if_sparse();
            }
        }

        Some(entry)
    }

    /// How long all lines that count are.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many snapshots there are, of everyone and of this reporter.
    pub(super) fn snapshots(&self, reporter: Option<PeerHash>) -> (usize, usize) {
        let count = reporter.and_then(|reporter| self.reporters.get(&reporter));
        (self.snapshots, count.map_or(0, |count| count.snapshots))
    }

    pub(super) fn reports_of(&self, reporter: PeerHash) -> usize {
        self.reporters
            .get(&reporter)
            .map_or(0, |count| count.reports)
    }

    /// The oldest report of this reporter.
    pub(super) fn oldest_of(&self, reporter: PeerHash) -> Option<String> {
        self.iter()
            .filter(|(_, entry)| entry.reporter == Some(reporter))
            .min_by_key(|(_, entry)| (entry.at_ms, entry.start))
            .map(|(id, _)| id.clone())
    }
}

impl FromIterator<(String, Entry)> for Index {
    fn from_iter<T: IntoIterator<Item = (String, Entry)>>(entries: T) -> Self {
        let mut index = Self::default();
        for (id, entry) in entries {
            index.insert(id, entry);
        }

        index
    }
}
