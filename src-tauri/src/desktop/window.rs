//! The window: how it opens, where it may navigate, and how the program ends.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tauri::utils::config::{Csp, CspDirectiveSources};
use tauri::{
    AppHandle, Emitter, Manager, RunEvent, UserAttentionType, WebviewUrl, WebviewWindow,
    WebviewWindowBuilder, WindowEvent,
};
use tokio::sync::mpsc::unbounded_channel;

use super::access::Access;
use super::app::{App, Input, Launch};
use super::frames::{FrameServer, Streams, page_origins};
use super::instance::FirstInstance;
use super::page::{self, Page};
use super::page_process::PageProcess;
use super::picture::Picture;
use super::recents::Recent;
use super::settings::SettingsProblem;
use super::shell::{self, Executor, Files, Handle, WindowControl};
use super::state::{MicrophoneLevel, Settings};
use super::window_place::{PlaceFile, WindowPlace};
use crate::signals::StopSignals;

/// The window's label in Tauri, and in the capability file.
const LABEL: &str = "main";
/// The size of the window at the first start, in logical pixels.
const DEFAULT_SIZE: (f64, f64) = (1100.0, 760.0);
/// How often to poll for whether the window is minimized or hidden: there is no event for it that
/// all systems share.
const VISIBILITY_POLL_INTERVAL: Duration = Duration::from_millis(500);
/// How long the program may take to end in order after its window was closed. Then it exits anyway.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(8);
/// What the web view runs before the page.
const NOT_A_BROWSER: &str = include_str!("not_a_browser.js");

/// What the window starts with.
pub(super) struct WindowSetup {
    pub(super) settings: Settings,
    pub(super) settings_problem: Option<SettingsProblem>,
    pub(super) access: Access,
    pub(super) access_problem: Option<SettingsProblem>,
    pub(super) recents: Vec<Recent>,
    pub(super) picture: Option<Picture>,
    pub(super) files: Files,
    pub(super) place: PlaceFile,
    pub(super) launch: Launch,
    /// A link or an invite to show.
    pub(super) opened: Option<String>,
    /// Notifies this window of later instances. `None` if that does not work on this machine.
    pub(super) first_instance: Option<FirstInstance>,
}

/// Opens the window and runs until it is closed.
pub(super) fn run(setup: WindowSetup) -> anyhow::Result<()> {
    let streams = Arc::new(Streams::default());
    let frames = FrameServer::start(Arc::clone(&streams), page_origins())?;
    let (handle, inbox) = shell::channel();
    let (effects, effect_receiver) = unbounded_channel();
    let app = App::new(setup.settings, setup.recents, setup.access, setup.launch)
        .with_picture(setup.picture);

    if let Some(problem) = setup.settings_problem {
        handle.notify(Input::SettingsFailed(problem));
    }

    if let Some(problem) = setup.access_problem {
        handle.notify(Input::AccessFailed(problem));
    }

    if let Some(text) = setup.opened {
        handle.notify(Input::Opened(text));
    }

    let context = context(frames.address());
    let page = Page::new(handle.clone(), frames);
    let page_process = PageProcess::default();
    let is_closing = Arc::new(AtomicBool::new(false));
    let events = handle.clone();
    let first_instance = setup.first_instance;
    let builder = tauri::Builder::default();
    #[cfg(target_os = "macos")]
    let builder = {
        let page_process = page_process.clone();
        builder.on_web_content_process_terminate(move |page| {
            page_process.reload(page, "WebKit has ended it");
        })
    };

    let tauri = builder
        .manage(page)
        .invoke_handler(page::handler())
        .setup(move |tauri| {
            let window = open(tauri.handle(), &setup.place)
                .unwrap_or_else(|error| give_up(tauri.handle(), &error));
            #[cfg(any(target_os = "linux", windows))]
            page_process.watch(window.as_ref())?;
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

            let control = Arc::new(TauriWindow {
                tauri: tauri.handle().clone(),
                is_closing: Arc::clone(&is_closing),
                place: setup.place,
            });
            let executor =
                Executor::new(handle.clone(), streams, setup.files, control, show_level);
            tauri::async_runtime::spawn(async move {
                executor.run(effect_receiver).await;
                program.exit(0);
            });

            tauri::async_runtime::spawn(shell::watch(handle.clone()));
            #[cfg(target_os = "linux")]
            tauri::async_runtime::spawn(follow_color_scheme(window.clone()));
            tauri::async_runtime::spawn(watch_visibility(window, handle.clone()));
            tauri::async_runtime::spawn(quit_at_signals(handle.clone()));

            if let Some(first) = first_instance {
                let program = tauri.handle().clone();
                first.listen(move |text| {
                    let stays = !is_closing.load(Ordering::Relaxed);
                    if stays {
                        bring_to_front(&program);
                    }

                    if let Some(text) = text.filter(|_| stays) {
                        handle.notify(Input::Opened(text));
                    }

                    stays
                })?;
            }

            Ok(())
        })
        .build(context)?;

    tauri.run(move |_, event| match event {
        RunEvent::WindowEvent {
            event: WindowEvent::CloseRequested { api, .. },
            ..
        } => {
            // The app may ask first, and notifying the partner takes a moment.
            api.prevent_close();
            events.notify(Input::CloseRequested);
        }
        RunEvent::WindowEvent {
            event: WindowEvent::Focused(focused),
            ..
        } => events.notify(Input::Focused(focused)),
        // How macOS hands over links, at the start too.
        #[cfg(target_os = "macos")]
        RunEvent::Opened { urls } => {
            for url in urls {
                events.notify(Input::Opened(url.into()));
            }
        }
        // The user quit from a menu, or the last window is gone: end in the same order.
        RunEvent::ExitRequested {
            code: None, api, ..
        } => {
            api.prevent_exit();
            events.notify(Input::Quit);
        }
        _ => {}
    });

    Ok(())
}

/// What Tauri takes from `tauri.conf.json`, with a content security policy that lets the page
/// connect to the frame socket at `frames` and to no other port.
fn context(frames: SocketAddr) -> tauri::Context {
    let mut context = tauri::generate_context!();
    let security = &mut context.config_mut().app.security;
    let mut directives: HashMap<String, CspDirectiveSources> =
        security.csp.take().map(Into::into).unwrap_or_default();
    directives
        .entry("connect-src".to_owned())
        .or_default()
        .push(format!("ws://{frames}"));
    security.csp = Some(Csp::DirectiveMap(directives));

    context
}

fn open(tauri: &AppHandle, place: &PlaceFile) -> tauri::Result<WebviewWindow> {
    let place = place.load();
    let (width, height) = place.map_or(DEFAULT_SIZE, WindowPlace::size);

    let window = WebviewWindowBuilder::new(tauri, LABEL, WebviewUrl::default())
        .title("Tandem")
        .inner_size(width, height)
        // Not larger than a small screen.
        .prevent_overflow()
        // Ctrl with plus and minus, for those who need larger text.
        .zoom_hotkeys_enabled(true)
        .min_inner_size(360.0, 480.0)
        .disable_drag_drop_handler()
        .initialization_script(NOT_A_BROWSER)
        // The window shows the embedded page and nothing else.
        .on_navigation(|url| url.scheme() == "tauri" || url.host_str() == Some("tauri.localhost"))
        .build()?;

    if let Some(place) = place
        && let Err(error) = place.apply(&window)
    {
        tracing::info!(%error, "the window is not where it was");
    }

    Ok(window)
}

/// Says why there is no window, and ends the program: an error of tauri's setup would be a panic.
fn give_up(tauri: &AppHandle, error: &tauri::Error) -> ! {
    let folder = tauri.path().app_local_data_dir();
    let folder = folder.map_or_else(
        |_| String::from("your home folder"),
        |folder| folder.display().to_string(),
    );
    super::fail(&format!(
        "the window cannot be opened ({error}). Check that you may write to {folder}"
    ));
    std::process::exit(1)
}

/// The window, as the app moves it.
struct TauriWindow {
    tauri: AppHandle,
    /// Becomes true when the program begins to end.
    is_closing: Arc<AtomicBool>,
    place: PlaceFile,
}

impl WindowControl for TauriWindow {
    fn show(&self) {
        bring_to_front(&self.tauri);
    }

    /// The program ends in order after this, or after [`CLOSE_TIMEOUT`] by force.
    fn hide(&self) {
        if self.is_closing.swap(true, Ordering::Relaxed) {
            return;
        }

        exit_after_timeout();
        if let Some(window) = self.tauri.get_webview_window(LABEL) {
            self.place.save(&window);
            let _ = window.hide();
        }
    }

    fn toggle_full_screen(&self) {
        if let Some(window) = self.tauri.get_webview_window(LABEL)
            && let Err(error) = window
                .is_fullscreen()
                .and_then(|is_full| window.set_fullscreen(!is_full))
        {
            tracing::debug!(%error, "the desktop does not change the window");
        }
    }

    fn ask_for_attention(&self, on: bool) {
        let kind = on.then_some(UserAttentionType::Critical);
        if let Some(window) = self.tauri.get_webview_window(LABEL)
            && let Err(error) = window.request_user_attention(kind)
        {
            tracing::debug!(%error, "the desktop does not mark the window");
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

/// Passes the desktop's choice of light or dark on to the web view, which does not learn of it
/// otherwise.
#[cfg(target_os = "linux")]
async fn follow_color_scheme(window: WebviewWindow) {
    use tandem_system::ColorScheme;
    use tauri::Theme;

    let (mut scheme, mut changes) = match ColorScheme::watch().await {
        Ok(found) => found,
        Err(error) => {
            tracing::debug!(%error, "the desktop does not say whether it is light or dark");
            return;
        }
    };

    loop {
        let theme = match scheme {
            ColorScheme::Dark => Some(Theme::Dark),
            ColorScheme::Light | ColorScheme::NoPreference => None,
        };
        if let Err(error) = window.set_theme(theme) {
            tracing::debug!(%error, "the window does not become light or dark");
        }

        match changes.recv().await {
            Some(changed) => scheme = changed,
            None => return,
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

/// Ctrl-C and SIGTERM end the program in order, without asking.
async fn quit_at_signals(handle: Handle) {
    match StopSignals::subscribe() {
        Ok(mut signals) => {
            if signals.next().await.is_some() {
                handle.notify(Input::Quit);
            }
        }
        Err(error) => {
            tracing::warn!(%error, "cannot handle Ctrl-C: it will end the program without notifying the partner");
        }
    }
}
