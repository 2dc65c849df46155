//! What the page calls: one Tauri command for each [`Command`], thin, and none of them unlimited.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tauri::State;

use super::command::{Command, CommandError, CommandErrorCode, FrameSocket};
use super::frames::FrameServer;
use super::rate::RateLimit;
use super::shell::Handle;
use super::state::{AppState, Theme};

/// Nobody presses faster; a page that follows a slider may come near.
const COMMAND_BURST: u32 = 60;
const COMMAND_INTERVAL: Duration = Duration::from_millis(25);

/// What the commands work with.
#[derive(Debug)]
pub(super) struct Page {
    handle: Handle,
    frames: FrameServer,
    limit: Mutex<RateLimit>,
}

type Done = Result<(), CommandError>;
type App<'a> = State<'a, Page>;

impl Page {
    /// The page's way to the app behind `handle` and to the pictures of `frames`.
    #[must_use]
    pub(super) fn new(handle: Handle, frames: FrameServer) -> Self {
        Self {
            handle,
            frames,
            limit: Mutex::new(RateLimit::new(
                COMMAND_BURST,
                COMMAND_INTERVAL,
                Instant::now(),
            )),
        }
    }

    fn limited(&self) -> Done {
        let mut limit = self.limit.lock().unwrap_or_else(PoisonError::into_inner);
        if limit.allow(Instant::now()) {
            Ok(())
        } else {
            Err(CommandErrorCode::RateLimited.into())
        }
    }

    async fn command(&self, command: Command) -> Done {
        self.limited()?;
        self.handle.command(command).await
    }
}

/// Everything that the page may call.
pub(super) fn handler() -> impl Fn(tauri::ipc::Invoke) -> bool + Send + Sync + 'static {
    tauri::generate_handler![
        get_state,
        frame_socket,
        find_partner,
        call_with_code,
        cancel,
        hang_up,
        next,
        retry,
        to_lobby,
        set_muted,
        set_camera_on,
        set_camera,
        set_microphone,
        set_speaker,
        set_name,
        set_relay_url,
        set_theme,
        set_processing,
        start_host,
        stop_host,
        test_speaker,
        refresh_devices,
        dismiss_problem
    ]
}

#[tauri::command]
async fn get_state(app: App<'_>) -> Result<AppState, CommandError> {
    app.limited()?;
    app.handle.state().await
}

#[tauri::command]
async fn frame_socket(app: App<'_>) -> Result<FrameSocket, CommandError> {
    app.limited()?;
    Ok(app.frames.invite())
}

#[tauri::command]
async fn find_partner(app: App<'_>) -> Done {
    app.command(Command::FindPartner).await
}

#[tauri::command]
async fn call_with_code(app: App<'_>, code: String) -> Done {
    app.command(Command::CallWithCode { code }).await
}

#[tauri::command]
async fn cancel(app: App<'_>) -> Done {
    app.command(Command::Cancel).await
}

#[tauri::command]
async fn hang_up(app: App<'_>) -> Done {
    app.command(Command::HangUp).await
}

#[tauri::command]
async fn next(app: App<'_>) -> Done {
    app.command(Command::Next).await
}

#[tauri::command]
async fn retry(app: App<'_>) -> Done {
    app.command(Command::Retry).await
}

#[tauri::command]
async fn to_lobby(app: App<'_>) -> Done {
    app.command(Command::ToLobby).await
}

#[tauri::command]
async fn set_muted(app: App<'_>, muted: bool) -> Done {
    app.command(Command::SetMuted { muted }).await
}

#[tauri::command]
async fn set_camera_on(app: App<'_>, on: bool) -> Done {
    app.command(Command::SetCameraOn { on }).await
}

#[tauri::command]
async fn set_camera(app: App<'_>, id: Option<String>) -> Done {
    app.command(Command::SetCamera { id }).await
}

#[tauri::command]
async fn set_microphone(app: App<'_>, id: Option<String>) -> Done {
    app.command(Command::SetMicrophone { id }).await
}

#[tauri::command]
async fn set_speaker(app: App<'_>, id: Option<String>) -> Done {
    app.command(Command::SetSpeaker { id }).await
}

#[tauri::command]
async fn set_name(app: App<'_>, name: String) -> Done {
    app.command(Command::SetName { name }).await
}

#[tauri::command]
async fn set_relay_url(app: App<'_>, url: String) -> Done {
    app.command(Command::SetRelayUrl { url }).await
}

#[tauri::command]
async fn set_theme(app: App<'_>, theme: Theme) -> Done {
    app.command(Command::SetTheme { theme }).await
}

#[tauri::command]
async fn set_processing(
    app: App<'_>,
    echo_cancellation: bool,
    noise_suppression: bool,
    auto_gain: bool,
) -> Done {
    app.command(Command::SetProcessing {
        echo_cancellation,
        noise_suppression,
        auto_gain,
    })
    .await
}

#[tauri::command]
async fn start_host(app: App<'_>, lan: bool) -> Done {
    app.command(Command::StartHost { lan }).await
}

#[tauri::command]
async fn stop_host(app: App<'_>) -> Done {
    app.command(Command::StopHost).await
}

#[tauri::command]
async fn test_speaker(app: App<'_>) -> Done {
    app.command(Command::TestSpeaker).await
}

#[tauri::command]
async fn refresh_devices(app: App<'_>) -> Done {
    app.command(Command::RefreshDevices).await
}

#[tauri::command]
async fn dismiss_problem(app: App<'_>, id: u32) -> Done {
    app.command(Command::DismissProblem { id }).await
}
