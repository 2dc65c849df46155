//! The page's way into the app: three rate-limited Tauri commands.
#![expect(
    clippy::disallowed_methods,
    reason = "a shell: it reads the clock for the rate limit"
)]

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::Value;
use tauri::State;

use super::command::{Command, CommandError, CommandErrorCode, FrameSocket};
use super::frames::FrameServer;
use super::rate::RateLimit;
use super::shell::Handle;
use super::state::AppState;

/// Calls that the page may make at once. No one clicks that fast; a slider that sends each step
/// might come close.
const CALL_BURST: u32 = 60;

/// One more call is allowed each 25 ms: 40 a second.
const CALL_INTERVAL: Duration = Duration::from_millis(25);

/// What the page's calls work with. Tauri keeps it as managed state.
#[derive(Debug)]
pub(super) struct Page {
    handle: Handle,
    frames: FrameServer,
    limit: Mutex<RateLimit>,
}

impl Page {
    /// Connects the page to the app behind `handle` and to the frames that `frames` serves.
    #[must_use]
    pub(super) fn new(handle: Handle, frames: FrameServer) -> Self {
        let limit = RateLimit::new(CALL_BURST, CALL_INTERVAL, Instant::now());
        Self {
            handle,
            frames,
            limit: Mutex::new(limit),
        }
    }

    /// Counts one call, whatever it asks for.
    fn count_call(&self) -> Result<(), CommandError> {
        if self.limit.lock().allow(Instant::now()) {
            Ok(())
        } else {
            Err(CommandErrorCode::RateLimited.into())
        }
    }
}

/// Dispatches the page's calls. `build.rs` lists the same names, and `capabilities/main.json`
/// grants them.
pub(super) fn handler() -> impl Fn(tauri::ipc::Invoke) -> bool + Send + Sync + 'static {
    tauri::generate_handler![get_state, frame_socket, run]
}

/// The whole state: at the start, and after the page missed a revision.
#[tauri::command]
async fn get_state(page: State<'_, Page>) -> Result<AppState, CommandError> {
    page.count_call()?;
    page.handle.state().await
}

/// Where to connect for frames, with a token for one connection.
#[tauri::command]
async fn frame_socket(page: State<'_, Page>) -> Result<FrameSocket, CommandError> {
    page.count_call()?;
    Ok(page.frames.issue_token())
}

/// Carries out a [`Command`]. Takes it as untyped JSON, so that a malformed one is refused with a
/// code like any other; Tauri itself would answer with a sentence.
#[tauri::command]
async fn run(page: State<'_, Page>, command: Option<Value>) -> Result<(), CommandError> {
    page.count_call()?;
    let command = Command::parse(command)?;
    page.handle.command(command).await
}
