//! Loads the page again when the web view's process dies: it crashed, or the system was short of
//! memory.
//!
//! The call runs in this program and goes on meanwhile. The new page reads the whole state and gets
//! new tokens for frames, as after any reload.

#![expect(
    clippy::disallowed_methods,
    reason = "a shell: it passes the time to the limit and waits"
)]

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tauri::Webview;

/// How often the page is loaded again without a pause, within [`RELOAD_WINDOW`].
const IMMEDIATE_RELOADS: usize = 3;
/// The time in which reloads are counted. Reloads more often than that take processor time and
/// memory from the call, so the next one waits. The page is never given up, because without it the
/// user cannot hang up.
const RELOAD_WINDOW: Duration = Duration::from_secs(60);

/// Watches the page's process. Clones share one count of reloads.
#[derive(Debug, Clone, Default)]
pub(super) struct PageProcess(Arc<Mutex<Reloads>>);

impl PageProcess {
    /// Loads the page again whenever its process dies, from now on. For macOS, Tauri has a hook of
    /// its own, which calls [`reload`](Self::reload).
    #[cfg(target_os = "linux")]
    pub(super) fn watch(&self, page: &Webview) -> tauri::Result<()> {
        use webkit2gtk::WebViewExt;

        let (this, reloaded) = (self.clone(), page.clone());
        page.with_webview(move |webview| {
            webview
                .inner()
                .connect_web_process_terminated(move |_, reason| {
                    this.reload(&reloaded, &format!("{reason:?}"));
                });
        })
    }

    /// Loads the page again whenever its process dies, from now on.
    #[cfg(windows)]
    pub(super) fn watch(&self, page: &Webview) -> tauri::Result<()> {
        use webview2_com::Microsoft::Web::WebView2::Win32::{
            COREWEBVIEW2_PROCESS_FAILED_KIND,
            COREWEBVIEW2_PROCESS_FAILED_KIND_RENDER_PROCESS_EXITED,
        };
        use webview2_com::ProcessFailedEventHandler;

        let (this, reloaded) = (self.clone(), page.clone());
        page.with_webview(move |webview| {
            let on_failure = ProcessFailedEventHandler::create(Box::new(move |_, failure| {
                let mut kind = COREWEBVIEW2_PROCESS_FAILED_KIND::default();
                if let Some(failure) = failure {
                    // SAFETY: the event's own argument, on the thread that owns the web view.
                    unsafe { failure.ProcessFailedKind(&raw mut kind)? };
                }

                // WebView2 replaces its other processes by itself, except the browser's, with which
                // the whole web view is gone.
                if kind == COREWEBVIEW2_PROCESS_FAILED_KIND_RENDER_PROCESS_EXITED {
                    this.reload(&reloaded, "the renderer has exited");
                } else {
                    tracing::warn!(kind = kind.0, "a process of the web view has failed");
                }

                Ok(())
            }));

            let mut token = 0;
            // SAFETY: Tauri calls this on the thread that owns the web view. The handler is never
            // removed: it lives as long as the web view.
            let watched = unsafe {
                webview
                    .controller()
                    .CoreWebView2()
                    .and_then(|core| core.add_ProcessFailed(&on_failure, &raw mut token))
            };

            if let Err(error) = watched {
                tracing::warn!(%error, "cannot watch the page's process: if it dies, the window stays blank");
            }
        })
    }

    /// Loads the page again, after a pause if that happened often lately.
    pub(super) fn reload(&self, page: &Webview, why: &str) {
        let pause = self.0.lock().next(Instant::now());
        tracing::error!(
            why,
            pause_s = pause.as_secs(),
            "the page's process has died: loading the page again, calls continue"
        );

        let page = page.clone();
        tauri::async_runtime::spawn(async move {
            tokio::time::sleep(pause).await;
            if let Err(error) = page.reload() {
                tracing::error!(%error, "cannot load the page again: the window stays blank");
            }
        });
    }
}

/// When the page was loaded again lately: the newest [`IMMEDIATE_RELOADS`] times.
#[derive(Debug, Default)]
struct Reloads(VecDeque<Instant>);

impl Reloads {
    /// How long to wait before the page is loaded again.
    fn next(&mut self, now: Instant) -> Duration {
        let mut at = now;
        if self.0.len() == IMMEDIATE_RELOADS
            && let Some(oldest) = self.0.pop_front()
        {
            at = at.max(oldest + RELOAD_WINDOW);
        }

        self.0.push_back(at);
        at - now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_keeps_dying_is_loaded_three_times_a_minute_and_never_given_up() {
        let (mut reloads, start) = (Reloads::default(), Instant::now());
        let mut now = start;
        let mut loaded = Vec::new();
        for _ in 0..9 {
            // It dies one second after it was loaded.
            now += reloads.next(now);
            loaded.push((now - start).as_secs());
            now += Duration::from_secs(1);
        }

        assert_eq!(loaded, [0, 1, 2, 60, 61, 62, 120, 121, 122]);
    }

    #[test]
    fn a_page_that_dies_now_and_then_comes_back_at_once() {
        let (mut reloads, start) = (Reloads::default(), Instant::now());
        for minute in 0..10 {
            let now = start + Duration::from_secs(30) * minute;
            assert_eq!(reloads.next(now), Duration::ZERO, "death {minute}");
        }
    }
}
