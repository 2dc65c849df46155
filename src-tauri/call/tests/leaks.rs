//! A call leaves nothing behind: no thread, socket or task.
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods, reason = "tests run in real time")]

mod support;

use std::time::{Duration, Instant};

use support::{Side, room, server};

const TIMEOUT: Duration = Duration::from_secs(20);

/// The names of this process's threads that handle a call's media.
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

/// A call between two sides that ends with a hang-up.
async fn call(server: &support::TestServer) {
    let room = room();
    let (mut left, mut right) = (Side::start(server, &room), Side::start(server, &room));

    for side in [&mut left, &mut right] {
        side.first_frame(TIMEOUT).await;
    }

    assert!(
        media_threads().len() >= 8,
        "each side captures, encodes, decodes and plays: {:?}",
        media_threads()
    );

    left.call.hang_up().await;
    right.ended(TIMEOUT).await;
    right.call.finished().await;
}

/// Waits until `now` returns at most `allowed`.
async fn settles(what: &str, allowed: usize, now: impl Fn() -> usize) {
    let deadline = Instant::now() + TIMEOUT;
    while now() > allowed {
        assert!(
            Instant::now() < deadline,
            "{} {what} left, {allowed} before the calls",
            now()
        );

        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_thread_socket_or_task_outlives_its_call() {
    let server = server().await;
    let alive = tasks();
    // The first call creates what stays: the runtime's threads, its event queue.
    call(&server).await;
    settles("media threads", 0, || media_threads().len()).await;
    // The signaling server's connections are tasks of this process too, and close a moment later.
    settles("tasks", alive, tasks).await;
    let files = open_files();

    for _ in 0..3 {
        call(&server).await;
    }

    settles("media threads", 0, || media_threads().len()).await;
    settles("open files", files, open_files).await;
    settles("tasks", alive, tasks).await;
    server.shutdown().await;
}
