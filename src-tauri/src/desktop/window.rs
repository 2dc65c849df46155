//! The window: how it opens, where it may navigate, and how the program ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tauri::{
    AppHandle, Emitter, Manager, RunEvent, WebviewUrl, WebviewWindow, WebviewWindowBuilder,
    WindowEvent,
};
use tokio::sync::mpsc::unbounded_channel;

use super::app::{App, Input, Launch};
use super::frames::{FrameServer, Streams, page_origins};
use super::instance::FirstInstance;
use super::page::{self, Page};
use super::settings::{SettingsFile, SettingsProblem};
use super::shell::{self, Executor, Handle};
use super::state::{MicrophoneLevel, Settings};
use crate::signals::StopSignals;

/// The window's label in Tauri, and in the capability file.
const LABEL: &str = "main";
/// How often to poll for whether the window is minimized or hidden: there is no event for it that
/// all systems share.
const VISIBILITY_POLL_INTERVAL: Duration = Duration::from_millis(500);
/// How long the program may take to end in order after its window was closed. Then it exits anyway.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(8);

/// What the window starts with.
pub(super) struct WindowSetup {
    pub(super) settings: Settings,
    pub(super) settings_problem: Option<SettingsProblem>,
    pub(super) settings_file: SettingsFile,
    pub(super) launch: Launch,
    /// Notifies this window of later instances. `None` if that does not work on this machine.
    pub(super) first_instance: Option<FirstInstance>,
}

/// Opens the window and runs until it is closed.
pub(super) fn run(setup: WindowSetup) -> anyhow::Result<()> {
    let streams = Arc::new(Streams::default());
    let frames = FrameServer::start(Arc::clone(&streams), page_origins())?;
    let (handle, inbox) = shell::channel();
    let (effects, effect_receiver) = unbounded_channel();
    let app = App::new(setup.settings, setup.launch);

    if let Some(problem) = setup.settings_problem {
        handle.notify(Input::SettingsFailed(problem));
    }

    let page = Page::new(handle.clone(), frames);
    let closer = Closer::new(handle.clone());
    let (closer_at_signals, is_closing) = (closer.clone(), closer.is_closing());
    let first_instance = setup.first_instance;
    let tauri = tauri::Builder::default()
        .manage(page)
        .invoke_handler(page::handler())
        .setup(move |tauri| {
            let window = open(tauri.handle())?;
            let page = tauri.handle().clone();
            let notify_page = move |change| {
                if let Err(error) = page.emit_to(LABEL, "state-changed", change) {
                    tracing::debug!(%error, "a state change did not reach the page, which fetches the whole state instead");
                }
            };

            tauri::async_runtime::spawn(shell::run(app, inbox, effects, notify_page));
            let program = tauri.handle().clone();
            let page = tauri.handle().clone();
            let show_level = move |level| {
                // A level that is lost is soon replaced by the next.
                let _ = page.emit_to(LABEL, "microphone-level", MicrophoneLevel { level });
            };

            let executor = Executor::new(handle.clone(), streams, setup.settings_file, show_level);
            tauri::async_runtime::spawn(async move {
                executor.run(effect_receiver).await;
                program.exit(0);
            });

            tauri::async_runtime::spawn(shell::watch(handle.clone()));
            tauri::async_runtime::spawn(watch_visibility(window, handle.clone()));
            tauri::async_runtime::spawn(close_at_signals(closer_at_signals));

            if let Some(first) = first_instance {
                let program = tauri.handle().clone();
                first.listen(move || {
                    let stays = !is_closing.load(Ordering::Relaxed);
                    if stays {
                        bring_to_front(&program);
                    }

                    stays
                })?;
            }

            Ok(())
        })
        .build(tauri::generate_context!())?;

    tauri.run(move |tauri, event| match event {
        RunEvent::WindowEvent {
            event: WindowEvent::CloseRequested { api, .. },
            ..
        } => {
            // Hide the window at once; notifying the partner may take a moment.
            api.prevent_close();
            if let Some(window) = tauri.get_webview_window(LABEL) {
                let _ = window.hide();
            }

            closer.close();
        }
        // The user quit from a menu, or the last window is gone: end in the same order.
        RunEvent::ExitRequested {
            code: None, api, ..
        } => {
            api.prevent_exit();
            closer.close();
        }
        _ => {}
    });

    Ok(())
}

fn open(tauri: &AppHandle) -> tauri::Result<WebviewWindow> {
    WebviewWindowBuilder::new(tauri, LABEL, WebviewUrl::default())
        .title("Tandem")
        .inner_size(1100.0, 760.0)
        .min_inner_size(360.0, 480.0)
        .disable_drag_drop_handler()
        // The window shows the embedded page and nothing else.
        .on_navigation(|url| url.scheme() == "tauri" || url.host_str() == Some("tauri.localhost"))
        .build()
}

/// Ends the program, once.
#[derive(Clone)]
struct Closer {
    handle: Handle,
    closing: Arc<AtomicBool>,
}

impl Closer {
    fn new(handle: Handle) -> Self {
        Self {
            handle,
            closing: Arc::default(),
        }
    }

    /// Becomes true when the program begins to end.
    fn is_closing(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.closing)
    }

    /// Ends the program in order, or after [`CLOSE_TIMEOUT`] by force.
    fn close(&self) {
        if !self.closing.swap(true, Ordering::Relaxed) {
            self.handle.notify(Input::CloseRequested);
            exit_after_timeout();
        }
    }
}

fn exit_after_timeout() {
    let watchdog = std::thread::Builder::new()
        .name("close-timeout".into())
        .spawn(|| {
            std::thread::sleep(CLOSE_TIMEOUT);
            std::process::exit(1);
        });

    if let Err(error) = watchdog {
        tracing::warn!(%error, "cannot start the close timeout: a hanging device may keep the program alive");
    }
}

fn bring_to_front(tauri: &AppHandle) {
    if let Some(window) = tauri.get_webview_window(LABEL) {
        for result in [window.show(), window.unminimize(), window.set_focus()] {
            if let Err(error) = result {
                tracing::debug!(%error, "the window may not have come to the front");
            }
        }
    }
}

/// Notifies the app when the window is hidden or shown: a hidden window needs no camera.
async fn watch_visibility(window: WebviewWindow, handle: Handle) {
    let mut was_visible = true;
    let mut ticks = tokio::time::interval(VISIBILITY_POLL_INTERVAL);

    loop {
        ticks.tick().await;
        let visible =
            window.is_visible().unwrap_or(true) && !window.is_minimized().unwrap_or(false);

        if visible != was_visible {
            was_visible = visible;
            handle.notify(Input::Visible(visible));
        }
    }
}

/// Ctrl-C and SIGTERM close the window as its button does.
async fn close_at_signals(closer: Closer) {
    match StopSignals::subscribe() {
        Ok(mut signals) => {
            if signals.next().await.is_some() {
                closer.close();
            }
        }
        Err(error) => {
            tracing::warn!(%error, "cannot handle Ctrl-C: it will end the program without notifying the partner");
        }
    }
}
