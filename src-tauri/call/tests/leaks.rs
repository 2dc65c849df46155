//! What a call leaves behind: nothing.
#![cfg(target_os = "linux")]

mod support;

use std::time::{Duration, Instant};

use tandem_call::session::CallEventKind;

use support::{Side, relay, room};

const SOON: Duration = Duration::from_secs(20);

/// Names of this process's threads that belong to the media of a call.
fn media_threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux lists its threads");
    let names = tasks
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    let media = ["video-", "audio", "test-pattern"];

    names
        .map(|name| name.trim().to_owned())
        .filter(|name| media.iter().any(|prefix| name.starts_with(prefix)))
        .collect()
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd")
        .expect("Linux lists its files")
        .count()
}

fn tasks() -> usize {
    tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks()
}

/// A call of two sides that ends by a hang-up.
async fn call(url_of: &support::TestRelay) {
    let room = room();
    let (mut left, mut right) = (Side::start(url_of, &room), Side::start(url_of, &room));

    for side in [&mut left, &mut right] {
        side.until(SOON, "a picture", |kind| {
            *kind == CallEventKind::FirstRemoteFrame
        })
        .await;
    }

    assert!(
        media_threads().len() >= 8,
        "each side captures, encodes, decodes and plays: {:?}",
        media_threads()
    );

    left.call.hang_up().await;
    right.ended(SOON).await;
    right.call.finished().await;
}

/// Waits until `now` is no more than `allowed`.
async fn settles(what: &str, allowed: usize, now: impl Fn() -> usize) {
    let deadline = Instant::now() + SOON;
    while now() > allowed {
        assert!(
            Instant::now() < deadline,
            "{} {what} left, {allowed} at the beginning",
            now()
        );

        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_thread_no_socket_and_no_task_outlives_its_call() {
    let relay = relay().await;
    let alive = tasks();
    // The first call warms up what stays: the runtime's threads, its event queue.
    call(&relay).await;
    settles("media threads", 0, || media_threads().len()).await;
    // The relay's own connections are tasks here, too, and close a moment later.
    settles("tasks", alive, tasks).await;
    let files = open_files();

    for _ in 0..3 {
        call(&relay).await;
    }

    settles("media threads", 0, || media_threads().len()).await;
    settles("open files", files, open_files).await;
    settles("tasks", alive, tasks).await;
    relay.shutdown().await;
}
