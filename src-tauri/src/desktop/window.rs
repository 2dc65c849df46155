//! The window itself: how it opens, what it lets through, and how the program ends.

use std::sync::Arc;
use std::time::Duration;

use tauri::{
    AppHandle, Emitter, Manager, RunEvent, WebviewUrl, WebviewWindow, WebviewWindowBuilder,
    WindowEvent,
};
use tokio::sync::mpsc::unbounded_channel;

use super::app::{App, Input, Launch};
use super::frames::{FrameServer, Streams, page_origins};
use super::instance::First;
use super::page::{self, Page};
use super::settings::{SettingsFile, SettingsProblem};
use super::shell::{self, Executor, Handle, Media};
use super::state::{MicrophoneLevel, Settings};

/// The window's label in Tauri, and in the capability file.
const LABEL: &str = "main";
/// How often is looked whether the window is minimized: no system tells it the same way.
const VISIBLE_INTERVAL: Duration = Duration::from_millis(500);
/// Whatever hangs, a window that was closed is gone by then.
const CLOSE_PATIENCE: Duration = Duration::from_secs(8);

/// What the window starts with.
pub(super) struct Start {
    pub(super) settings: Settings,
    pub(super) settings_problem: Option<SettingsProblem>,
    pub(super) settings_file: SettingsFile,
    pub(super) launch: Launch,
    pub(super) media: Media,
    /// Hears of other copies.
    pub(super) first: Option<First>,
}

/// Opens the window and runs until it is closed.
pub(super) fn run(start: Start) -> anyhow::Result<()> {
    let streams = Arc::new(Streams::default());
    let frames = FrameServer::start(Arc::clone(&streams), page_origins())?;
    let (handle, inbox) = shell::channel();
    let (effects, effect_receiver) = unbounded_channel();
    let app = App::new(start.settings, start.launch);

    if let Some(problem) = start.settings_problem {
        handle.tell(Input::SettingsKept(Some(problem)));
    }

    let page = Page::new(handle.clone(), frames);
    let closing = handle.clone();
    let first = start.first;
    let tauri = tauri::Builder::default()
        .manage(page)
        .invoke_handler(page::handler())
        .setup(move |tauri| {
            let window = open(tauri.handle())?;
            let page = tauri.handle().clone();
            let tell_page = move |change| {
                if let Err(error) = page.emit_to(LABEL, "state-changed", change) {
                    tracing::debug!(%error, "the page was not told of a change");
                }
            };

            tauri::async_runtime::spawn(shell::run(app, inbox, effects, tell_page));
            let program = tauri.handle().clone();
            let page = tauri.handle().clone();
            let show_level = move |level| {
                // A level that was not shown is as good as the next one.
                let _ = page.emit_to(LABEL, "microphone-level", MicrophoneLevel { level });
            };

            let executor = Executor::new(
                handle.clone(),
                streams,
                start.settings_file,
                start.media,
                show_level,
            );

            tauri::async_runtime::spawn(async move {
                executor.run(effect_receiver).await;
                program.exit(0);
            });

            tauri::async_runtime::spawn(shell::watch(handle.clone()));
            tauri::async_runtime::spawn(watch_visibility(window, handle.clone()));
            tauri::async_runtime::spawn(close_at_signals(handle));

            if let Some(first) = first {
                let program = tauri.handle().clone();
                first.listen(move || bring_to_front(&program))?;
            }

            Ok(())
        })
        .build(tauri::generate_context!())?;

    tauri.run(move |tauri, event| match event {
        RunEvent::WindowEvent {
            event: WindowEvent::CloseRequested { api, .. },
            ..
        } => {
            // The partner is told first; the user sees nothing of that.
            api.prevent_close();
            if let Some(window) = tauri.get_webview_window(LABEL) {
                let _ = window.hide();
            }

            close(&closing);
        }
        // Quit from a menu, or the last window is gone: in the same order.
        RunEvent::ExitRequested {
            code: None, api, ..
        } => {
            api.prevent_exit();
            close(&closing);
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
        // The page is the one that was embedded, and nothing leads away from it.
        .on_navigation(|url| url.scheme() == "tauri" || url.host_str() == Some("tauri.localhost"))
        .build()
}

fn close(handle: &Handle) {
    handle.tell(Input::CloseRequested);
    let patience = std::thread::Builder::new().name("close-patience".into());
    let ended = patience.spawn(|| {
        std::thread::sleep(CLOSE_PATIENCE);
        std::process::exit(1);
    });

    if ended.is_err() {
        tracing::warn!("no thread to watch over the end of the program");
    }
}

fn bring_to_front(tauri: &AppHandle) {
    if let Some(window) = tauri.get_webview_window(LABEL) {
        for done in [window.show(), window.unminimize(), window.set_focus()] {
            if let Err(error) = done {
                tracing::debug!(%error, "the window did not come to the front");
            }
        }
    }
}

/// A window that nobody sees needs no camera.
async fn watch_visibility(window: WebviewWindow, handle: Handle) {
    let mut was_visible = true;
    let mut ticks = tokio::time::interval(VISIBLE_INTERVAL);

    loop {
        ticks.tick().await;
        let visible =
            window.is_visible().unwrap_or(true) && !window.is_minimized().unwrap_or(false);

        if visible != was_visible {
            was_visible = visible;
            handle.tell(Input::Visible(visible));
        }
    }
}

/// Ctrl-C and SIGTERM close the window as its button does.
async fn close_at_signals(handle: Handle) {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let (Ok(mut interrupt), Ok(mut terminate)) = (
            signal(SignalKind::interrupt()),
            signal(SignalKind::terminate()),
        ) else {
            return;
        };

        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }

    #[cfg(not(unix))]
    if tokio::signal::ctrl_c().await.is_err() {
        return;
    }

    close(&handle);
}
