//! What Tandem asks of the desktop around a call: that screen and computer stay awake, that
//! notifications are shown, with answers such as *Accept* and *Decline*, and on Linux, whether it
//! is dark or light.
//!
//! The crate knows nothing of windows or calls. Everything in it is optional for a call: each
//! failure is a [`SystemError`] that the caller logs, and no request to the desktop takes longer
//! than its timeout, even if a service never answers.
//!
//! # How the window uses it
//! Everything here needs a running tokio runtime.
//!
//! When a call begins, the window starts [`KeepAwake`] and keeps the guard. It drops the guard
//! when the call ends:
//!
//! ```no_run
//! use tandem_system::KeepAwake;
//!
//! # async fn call() {
//! let awake = KeepAwake::start("Tandem", "In a call")
//!     .await
//!     .inspect_err(|error| tracing::info!(%error, "the screen may turn off in this call"));
//! // … the call …
//! drop(awake);
//! # }
//! ```
//!
//! For notifications it connects once, keeps [`Notifications`], and reads the events in a task:
//!
//! ```no_run
//! use tandem_system::{Action, App, EventKind, Notification, Notifications, Timeout, Urgency};
//!
//! # async fn ring() -> Result<(), tandem_system::SystemError> {
//! let app = App {
//!     name: "Tandem".into(),
//!     id: "org.tandemchat.tandem".into(),
//!     desktop_entry: "tandem".into(),
//!     open_label: "Open".into(),
//! };
//! let (notifications, mut events) = Notifications::connect(app).await?;
//!
//! let shown = notifications
//!     .show(Notification {
//!         body: "Ada is calling".into(),
//!         actions: vec![Action::new("accept", "Accept"), Action::new("decline", "Decline")],
//!         urgency: Urgency::Critical,
//!         timeout: Timeout::Never,
//!         ..Notification::new("ring", "Incoming call")
//!     })
//!     .await?;
//! if !shown.has_actions {
//!     // The person answers in the window: request its attention.
//! }
//!
//! while let Some(event) = events.recv().await {
//!     match event.kind {
//!         EventKind::Action(key) if key == "accept" => println!("accepted"),
//!         EventKind::Action(_) => println!("declined"),
//!         EventKind::Clicked => println!("bring the window to the front"),
//!         EventKind::Closed => println!("gone"),
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The window closes what no longer applies: the ring when the caller gives up
//! ([`Notifications::close`]), and everything before the program ends
//! ([`Notifications::close_all`]).
//!
//! On Linux the web view follows the desktop's color scheme only if the window passes it on (to
//! Tauri's `set_theme`; dark, or `None`):
//!
//! ```no_run
//! # #[cfg(target_os = "linux")]
//! # async fn follow() -> Result<(), tandem_system::SystemError> {
//! use tandem_system::ColorScheme;
//!
//! let (mut scheme, mut changes) = ColorScheme::watch().await?;
//! loop {
//!     println!("dark: {}", scheme == ColorScheme::Dark);
//!     match changes.recv().await {
//!         Some(changed) => scheme = changed,
//!         None => return Ok(()),
//!     }
//! }
//! # }
//! ```
//!
//! # What each system can do
//! | | Linux | Windows | macOS |
//! |---|---|---|---|
//! | staying awake | portal, session manager, screen saver or logind | power request | power assertions |
//! | notification | yes | from an installed app | from an app bundle that the user allowed to |
//! | [`Notifications::close`] | yes | yes | yes |
//! | actions and answers | if the desktop has them | yes | no |
//!
//! The code for Windows and macOS compiles, and has never run.

#[cfg(target_os = "linux")]
mod bus;
#[cfg(target_os = "linux")]
mod color_scheme;
mod error;
mod keep_awake;
mod notifications;
mod text;

#[cfg(target_os = "linux")]
pub use bus::{Bus, Buses};
#[cfg(target_os = "linux")]
pub use color_scheme::{ColorScheme, ColorSchemeChanges};
pub use error::SystemError;
pub use keep_awake::{Attempt, KeepAwake, KeepAwakeError, Means};
pub use notifications::{
    Action, App, Event, EventKind, Events, Notification, Notifications, Shown, Sound, Timeout,
    Urgency,
};
