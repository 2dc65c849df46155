#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

use std::fs::OpenOptions;

use super::index::Index;
use super::*;
use crate::message::ReportCategory;
use crate::server::moderation::report::{Party, Said};

const JPEG: [u8; 6] = [0xFF, 0xD8, 0xFF, 0xE0, 1, 2];
const CAPS: Caps = Caps {
    bytes: MAX_BYTES,
    snapshots: 9,
    per_reporter: 100,
    snapshots_per_reporter: 100,
};
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) fn report(id: &str) -> Report {
    let party = |user: &str| Party {
        user_id: user.into(),
        subject: None,
        peer: None,
    };

    Report {
        report_id: id.into(),
        at_ms: 1_234,
        session_id: "s".into(),
        said: Said {
            category: ReportCategory::Spam,
            text: Some("two\nlines".into()),
            snapshot: None,
        },
        reporter: party("a"),
        reported: party("b"),
    }
}

pub(super) fn with_snapshot(id: &str, last: u8) -> Report {
    use base64::Engine;

    let mut jpeg = JPEG;
    jpeg[5] = last;
    let mut report = report(id);
    let base64 = base64::engine::general_purpose::STANDARD.encode(jpeg);
    report.said.snapshot = Some(Snapshot::parse(base64).unwrap());
    report
}

fn at(mut report: Report, at_ms: u64) -> Report {
    report.at_ms = at_ms;
    report
}

/// A file of reports in a folder of its own.
struct Fixture {
    folder: tempfile::TempDir,
    reports: ReportFile,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let reports = ReportFile::open(&folder.path().join("reports.jsonl")).unwrap();
        Self { folder, reports }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("reports.jsonl")
    }

    /// Starts the server again, so to say.
    fn again(self) -> Self {
        let Self { folder, reports } = self;
        drop(reports);
        let reports = ReportFile::open(&folder.path().join("reports.jsonl")).unwrap();
        Self { folder, reports }
    }

    fn snapshot(&self, id: &str) -> PathBuf {
        self.folder
            .path()
            .join("reports.jsonl.snapshots")
            .join(format!("{id}.jpg"))
    }

    fn ids(&self, with_closed: bool) -> Vec<String> {
        let listed = self.reports.list(with_closed, 100).unwrap();
        let id = |report: &Map<String, Value>| report["reportId"].as_str().unwrap().to_owned();
        listed.iter().map(id).collect()
    }
}

#[test]
fn reports_continue_in_a_new_file_after_the_old_one_was_moved() {
    let files = Fixture::new();
    let moved = files.folder.path().join("reports.1");
    files.reports.append(&report("1")).unwrap();
    files.reports.append(&report("2")).unwrap();
    fs::rename(files.path(), &moved).unwrap();
    files.reports.reopen().unwrap();
    files.reports.append(&report("3")).unwrap();

    let lines = |path: &Path| -> Vec<Value> {
        let text = fs::read_to_string(path).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    assert_eq!(lines(&moved).len(), 2);
    let [third] = &lines(&files.path())[..] else {
        panic!("one line");
    };
    assert_eq!(
        *third,
        serde_json::json!({
            "reportId": "3", "atMs": 1_234, "sessionId": "s", "category": "spam",
            "text": "two\nlines", "reporter": { "userId": "a" }, "reported": { "userId": "b" },
        })
    );
    assert_eq!(files.ids(true), ["3"], "the others are the operator's");
}

#[test]
fn a_second_report_of_a_call_replaces_the_first_and_keeps_its_snapshot() {
    let files = Fixture::new();
    let first = files.reports.append(&with_snapshot("7", 1)).unwrap();
    let mut second = report("7");
    second.said.category = ReportCategory::Harassment;
    let updated = files.reports.append(&second).unwrap();
    assert_eq!((first.is_update, updated.is_update), (false, true));

    let files = files.again();
    let listed = files.reports.list(false, 100).unwrap();
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(
        (&listed[0]["category"], &listed[0]["snapshot"]),
        (&"harassment".into(), &"7.jpg".into())
    );

    files.reports.append(&with_snapshot("7", 9)).unwrap();
    assert_eq!(
        fs::read(files.snapshot("7")).unwrap()[5],
        9,
        "the newer frame"
    );
    assert_eq!(
        fs::read_dir(files.snapshot("7").parent().unwrap())
            .unwrap()
            .count(),
        1
    );
}

#[test]
fn updates_do_not_make_the_file_grow_without_end() {
    let files = Fixture::new();
    files.reports.append(&report("other")).unwrap();
    let mut long = report("7");
    long.said.text = Some("x".repeat(4_000));
    for _ in 0..2_000 {
        files.reports.append(&long).unwrap();
    }

    let bytes = fs::metadata(files.path()).unwrap().len();
    assert!(bytes < 2 * MIN_COMPACTION, "{bytes} bytes for two reports");
    let files = files.again();
    assert_eq!(files.ids(true).len(), 2);
}

#[test]
fn a_snapshot_is_a_file_of_its_own_beside_the_reports() {
    let files = Fixture::new();
    files.reports.append(&with_snapshot("7", 3)).unwrap();
    let text = fs::read_to_string(files.path()).unwrap();
    assert!(text.contains(r#""snapshot":"7.jpg""#), "{text}");
    assert_eq!(fs::read(files.snapshot("7")).unwrap()[..5], JPEG[..5]);

    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(
            [
                mode(&files.snapshot("7")),
                mode(files.snapshot("7").parent().unwrap()),
                mode(&files.path())
            ],
            [0o600, 0o700, 0o600]
        );
    }

    // What the store would get.
    let stored = serde_json::to_string(&with_snapshot("7", 3)).unwrap();
    assert!(!stored.contains("snapshot"), "{stored}");
}

#[test]
fn a_report_whose_snapshot_cannot_be_written_is_recorded_without_it() {
    let files = Fixture::new();
    fs::write(files.path().with_extension("jsonl.snapshots"), "in the way").unwrap();
    files.reports.append(&with_snapshot("7", 3)).unwrap();

    let listed = files.reports.list(false, 100).unwrap();
    assert_eq!(
        (&listed[0]["reportId"], listed[0].get("snapshot")),
        (&"7".into(), None)
    );
}

#[test]
fn the_folder_of_snapshots_takes_no_more_than_its_cap() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("reports.jsonl");
    let caps = Caps {
        snapshots: 2,
        ..CAPS
    };
    let open = || ReportFile::open_with(&path, caps).unwrap();
    let kept = |reports: &ReportFile, id: &str| {
        let report = reports.read(id).unwrap().unwrap();
        report.contains_key("snapshot")
    };

    let reports = open();
    for id in ["1", "2", "3"] {
        reports.append(&with_snapshot(id, 1)).unwrap();
    }
    assert_eq!(
        ["1", "2", "3"].map(|id| kept(&reports, id)),
        [true, true, false]
    );

    drop(reports);
    let reports = open();
    reports.append(&with_snapshot("4", 1)).unwrap();
    assert!(!kept(&reports, "4"), "the count survives a restart");
    reports.append(&with_snapshot("2", 2)).unwrap();
    assert!(kept(&reports, "2"), "a newer frame takes no more room");
    reports.delete("1").unwrap();
    reports.append(&with_snapshot("5", 1)).unwrap();
    assert!(kept(&reports, "5"), "a deleted report has made room");
}

#[test]
fn a_report_and_its_snapshot_are_deleted_together() {
    let files = Fixture::new();
    for id in ["1", "2", "3"] {
        files.reports.append(&with_snapshot(id, 3)).unwrap();
    }

    assert!(files.reports.delete("2").unwrap());
    assert!(!files.reports.delete("2").unwrap(), "it is gone");
    assert!(!files.snapshot("2").exists());
    let text = fs::read_to_string(files.path()).unwrap();
    assert!(!text.contains(r#""reportId":"2""#), "{text}");

    let files = files.again();
    assert_eq!(files.ids(true).len(), 2);
    assert!(files.snapshot("1").exists() && files.snapshot("3").exists());
    assert_eq!(
        files.reports.read("3").unwrap().unwrap()["sessionId"],
        "s",
        "the others can still be read"
    );
}

#[test]
fn old_reports_are_deleted_open_or_closed() {
    let files = Fixture::new();
    let now = SystemTime::UNIX_EPOCH + 100 * DAY;
    let days = |days: u64| days * 24 * 60 * 60 * 1000;
    files
        .reports
        .append(&at(with_snapshot("old", 1), days(9)))
        .unwrap();
    files
        .reports
        .append(&at(report("closed"), days(9)))
        .unwrap();
    files.reports.close("closed", None, days(10)).unwrap();
    files.reports.append(&at(report("new"), days(11))).unwrap();

    assert_eq!(files.reports.delete_older(90 * DAY, now).unwrap(), 2);
    assert_eq!(files.ids(true), ["new"]);
    assert!(!files.snapshot("old").exists());
}

#[test]
fn what_an_update_has_replaced_does_not_outlive_its_report_in_the_file() {
    let files = Fixture::new();
    let now = SystemTime::UNIX_EPOCH + DAY;
    files.reports.append(&report("7")).unwrap();
    let mut update = report("7");
    update.said.text = None;
    files.reports.append(&update).unwrap();
    let text = || fs::read_to_string(files.path()).unwrap();
    assert!(text().contains("two\\nlines"), "{}", text());

    assert_eq!(files.reports.delete_older(90 * DAY, now).unwrap(), 0);
    assert!(!text().contains("two\\nlines"), "{}", text());
    assert_eq!(files.ids(true), ["7"]);
    let files = files.again();
    assert_eq!(files.ids(true), ["7"]);
}

#[test]
fn a_closed_report_leaves_the_list_and_stays_readable() {
    let files = Fixture::new();
    files.reports.append(&report("1")).unwrap();
    files.reports.append(&at(report("2"), 2_000)).unwrap();
    assert_eq!(files.ids(false), ["2", "1"], "newest first");

    assert!(files.reports.close("1", Some("warned"), 5).unwrap());
    assert!(
        !files.reports.close("9", None, 5).unwrap(),
        "no such report"
    );
    let files = files.again();
    assert_eq!(files.ids(false), ["2"]);
    assert_eq!(files.reports.open_reports(), 1);
    let closed = files.reports.read("1").unwrap().unwrap();
    assert_eq!(
        closed["closed"],
        serde_json::json!({ "atMs": 5, "note": "warned" })
    );
    assert_eq!(closed["text"], "two\nlines");
}

#[test]
fn a_full_file_refuses_reports_and_loses_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("reports.jsonl");
    let caps = Caps { bytes: 400, ..CAPS };
    let reports = ReportFile::open_with(&path, caps).unwrap();
    reports.append(&report("1")).unwrap();
    reports.append(&report("2")).unwrap();
    let error = reports.append(&with_snapshot("3", 1)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert!(
        !folder.path().join("reports.jsonl.snapshots/3.jpg").exists(),
        "no snapshot without a report"
    );

    assert_eq!(reports.list(true, 9).unwrap().len(), 2);
    assert!(
        reports.close("2", Some(&"x".repeat(300)), 5).unwrap(),
        "the operator can always work"
    );
    reports.delete("2").unwrap();
    reports.append(&report("3")).unwrap();
}

#[test]
fn an_update_that_is_refused_leaves_the_snapshot_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("reports.jsonl");
    let caps = Caps { bytes: 400, ..CAPS };
    let reports = ReportFile::open_with(&path, caps).unwrap();
    reports.append(&with_snapshot("1", 1)).unwrap();
    let snapshot = folder.path().join("reports.jsonl.snapshots/1.jpg");
    let before = fs::read(&snapshot).unwrap();

    let mut update = with_snapshot("1", 2);
    update.said.text = Some("x".repeat(500));
    let error = reports.append(&update).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(fs::read(&snapshot).unwrap(), before);
}

fn by(reporter: u8, mut report: Report) -> Report {
    report.reporter.peer = Some(PeerHash::of_bytes([reporter; 16]));
    report
}

#[test]
fn a_reporter_who_floods_the_file_only_loses_its_own_reports() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("reports.jsonl");
    let caps = Caps {
        per_reporter: 2,
        snapshots_per_reporter: 1,
        ..CAPS
    };
    let open = || ReportFile::open_with(&path, caps).unwrap();
    let ids = |reports: &ReportFile| -> Vec<String> {
        let listed = reports.list(true, 100).unwrap();
        let id = |report: &Map<String, Value>| report["reportId"].as_str().unwrap().to_owned();
        listed.iter().map(id).collect()
    };

    let reports = open();
    reports
        .append(&by(9, at(with_snapshot("ann", 1), 1)))
        .unwrap();
    for n in 0..5_u8 {
        let flood = at(with_snapshot(&n.to_string(), n), 10 + u64::from(n));
        reports.append(&by(1, flood)).unwrap();
    }
    assert_eq!(ids(&reports), ["4", "3", "ann"]);
    let names = fs::read_dir(folder.path().join("reports.jsonl.snapshots")).unwrap();
    assert!(names.count() <= 2, "one for each of the two");

    drop(reports);
    let reports = open();
    assert_eq!(ids(&reports), ["4", "3", "ann"], "also after a restart");
    reports.append(&by(1, at(report("3"), 20))).unwrap();
    assert_eq!(ids(&reports), ["3", "4", "ann"], "an update takes no room");

    let flooder = PeerHash::of_bytes([1; 16]);
    assert_eq!(reports.delete_reporter(flooder).unwrap(), 2);
    assert_eq!(ids(&reports), ["ann"]);
    assert_eq!(reports.delete_reporter(flooder).unwrap(), 0);
    drop(reports);
    assert_eq!(ids(&open()), ["ann"]);
}

#[test]
fn snapshots_that_were_left_behind_take_no_room() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("reports.jsonl");
    let caps = Caps {
        snapshots: 1,
        ..CAPS
    };
    let reports = ReportFile::open_with(&path, caps).unwrap();
    reports.append(&with_snapshot("1", 1)).unwrap();
    fs::rename(&path, folder.path().join("reports.1")).unwrap();
    reports.reopen().unwrap();
    reports.append(&with_snapshot("2", 1)).unwrap();
    assert!(reports.read("2").unwrap().unwrap().contains_key("snapshot"));
}

#[test]
fn half_a_line_is_dropped_at_the_next_start() {
    let files = Fixture::new();
    files.reports.append(&report("1")).unwrap();
    let mut file = OpenOptions::new().append(true).open(files.path()).unwrap();
    file.write_all(br#"{"reportId":"2","at"#).unwrap();

    let files = files.again();
    files.reports.append(&report("3")).unwrap();
    let files = files.again();
    let mut ids = files.ids(true);
    ids.sort();
    assert_eq!(ids, ["1", "3"]);
}

#[test]
fn lines_that_are_no_reports_cost_only_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("reports.jsonl");
    let long = "x".repeat(200_000);
    fs::write(
        &path,
        format!("nonsense\n\u{0}\n{long}\n{{\"reportId\":\"1\",\"atMs\":7}}\n[]\n"),
    )
    .unwrap();
    let reports = ReportFile::open(&path).unwrap();
    assert_eq!(reports.list(true, 9).unwrap().len(), 1);
    reports.append(&report("2")).unwrap();
    assert_eq!(reports.list(true, 9).unwrap().len(), 2);
}

#[test]
fn two_servers_do_not_share_a_file() {
    let files = Fixture::new();
    let error = ReportFile::open(&files.path()).unwrap_err();
    assert!(error.contains("another server"), "{error}");
}

#[test]
fn the_error_about_a_missing_folder_names_it() {
    let error = ReportFile::open(Path::new("/nowhere/reports.jsonl")).unwrap_err();
    assert!(error.contains("/nowhere/reports.jsonl"), "{error}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error_and_not_half_a_line() {
    // Every write to it fails as on a full disk.
    let error = Journal {
        file: OpenOptions::new().write(true).open("/dev/full").unwrap(),
        end: 0,
        entries: Index::default(),
    }
    .append(b"{}\n")
    .unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
}
